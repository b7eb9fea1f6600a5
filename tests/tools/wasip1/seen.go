// Writes down all that a Go program can see of its machine: to standard output, and to files in /outputs.
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"math"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"sort"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
}

func main() {
	begun := time.Now()
	fmt.Println("args", os.Args, "env", os.Environ())
	input, err := io.ReadAll(os.Stdin)
	must(err)
	fmt.Println("stdin", len(input))
	for i := 0; i < 3; i++ {
		fmt.Println("now", time.Now().UnixNano())
	}
	time.Sleep(1500 * time.Millisecond)
	fmt.Println("slept", time.Since(begun))
	secret := make([]byte, 300)
	_, err = rand.Read(secret)
	must(err)
	fmt.Printf("random %x %d\n", secret, mathrand.Int63())
	order := map[string]int{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
	for key := range order {
		fmt.Print(key)
	}
	fmt.Println()
	ticker := time.NewTicker(time.Millisecond)
	results := make(chan int)
	for i := 0; i < 4; i++ {
		go func(i int) { <-ticker.C; results <- i }(i)
	}
	fmt.Println("raced", <-results, <-results, <-results, <-results)
	fmt.Printf("nan %x %x\n", math.Float64bits(math.Inf(1)-math.Inf(1)), math.Float64bits(math.Sqrt(-1)))
	must(filepath.WalkDir("/inputs", func(path string, entry fs.DirEntry, err error) error {
		must(err)
		info, err := entry.Info()
		must(err)
		fmt.Println(path, info.Mode().Type(), info.Size(), info.ModTime().UnixNano(), info.Sys())
		return nil
	}))
	folder, err := os.Open("/inputs")
	must(err)
	names, err := folder.Readdirnames(-1)
	must(err)
	fmt.Println("as listed", names, sort.StringsAreSorted(names))
	must(os.MkdirAll("/outputs/sub", 0o777))
	must(os.WriteFile("/outputs/sub/b", []byte("b"), 0o600))
	must(os.WriteFile("/outputs/a", secret, 0o644))
	must(os.Remove("/outputs/sub/b"))
	must(os.WriteFile("/outputs/sub/c", []byte("c"), 0o600))
	info, err := os.Stat("/outputs/sub/c")
	must(err)
	fmt.Println(info.Size(), info.ModTime(), info.Sys())
	must(os.Rename("/outputs/a", "/outputs/z"))
}

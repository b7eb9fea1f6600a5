"""Writes down all that a Python program can see of its machine: to standard output, and to files in /outputs."""

import os
import random
import shutil
import sys
import time
import uuid

print(sys.argv, sorted(os.environ.items()), len(sys.stdin.buffer.read()))
print([time.time_ns() for _ in range(3)], time.monotonic_ns(), time.process_time_ns(), time.localtime())
begun = time.monotonic_ns()
time.sleep(1.5)
print("slept", time.monotonic_ns() - begun)
print(random.random(), uuid.uuid4(), uuid.uuid1(), os.urandom(16).hex(), hash("a string"), id(object()))
print(list({"a", "b", "c", "d", "e"}), float("inf") - float("inf"))
print(os.listdir("/inputs"), [entry.name for entry in os.scandir("/inputs")])
for folder, folders, files in os.walk("/inputs"):
    print(folder, folders, files, [os.lstat(os.path.join(folder, name)) for name in [*folders, *files]])
shutil.copy("/inputs/a.txt", "/outputs/copy")
shutil.copytree("/inputs/sub", "/outputs/tree", symlinks=True)
print(os.path.samefile("/outputs/copy", "/outputs/copy"), os.path.samefile("/inputs/a.txt", "/outputs/copy"))
os.remove("/outputs/copy")
for number in range(3):
    with open(f"/outputs/{number}", "w") as file:
        print(number, random.random(), file=file)
        print(os.fstat(file.fileno()))
os.utime("/outputs/1", (1, 1))
os.rename("/outputs/1", "/outputs/2")
os.symlink("2", "/outputs/link")
print(os.stat("/outputs/2"), os.lstat("/outputs/link"), os.readlink("/outputs/link"), os.stat("/outputs"))
shutil.rmtree("/outputs/tree")
os.mkdir("/outputs/new")
print(os.stat("/outputs/new"), sorted(os.listdir("/outputs")))
for path in ("/inputs/none", "/etc/passwd", "/inputs/../../etc/passwd"):
    try:
        os.stat(path)
    except OSError as error:
        print(error)

"""WASI preview 1 as a table: the functions, their types, and what their errors say of this machine.

Source: wasi_snapshot_preview1.witx. ``proc_exit`` is not among them: it ends the run and has no view.
"""

from __future__ import annotations

from dataclasses import dataclass

WASI = "wasi_snapshot_preview1"

SUCCESS, FAULT, INVAL = 0, 21, 28

# Errors that speak of this machine and not of the program. None is shown to it: the run ends without a result.
TROUBLE = {
    2: "acces",  # permissions are not WASI's; what it forbids is called perm or notcapable
    6: "again",
    10: "busy",
    19: "dquot",
    22: "fbig",
    27: "intr",
    29: "io",
    33: "mfile",
    34: "mlink",
    41: "nfile",
    42: "nobufs",
    43: "nodev",
    46: "nolck",
    48: "nomem",
    51: "nospc",
    60: "nxio",
    69: "rofs",
    72: "stale",
    73: "timedout",
    74: "txtbsy",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A function that takes ``params`` and returns an errno."""

    name: str
    params: tuple[str, ...]

    @property
    def type(self) -> str:
        """In WAT."""
        return f"(param {' '.join(self.params)}) (result i32)" if self.params else "(result i32)"

    @property
    def arguments(self) -> str:
        """All of them on the stack, in WAT."""
        return " ".join(f"(local.get {index})" for index in range(len(self.params)))


def _call(name: str, params: str) -> Call:
    return Call(name, tuple({"i": "i32", "l": "i64"}[each] for each in params))


CALLS = tuple(
    _call(name, params)
    for name, params in (
        ("args_get", "ii"),
        ("args_sizes_get", "ii"),
        ("clock_res_get", "ii"),
        ("clock_time_get", "ili"),
        ("environ_get", "ii"),
        ("environ_sizes_get", "ii"),
        ("fd_advise", "illi"),
        ("fd_allocate", "ill"),
        ("fd_close", "i"),
        ("fd_datasync", "i"),
        ("fd_fdstat_get", "ii"),
        ("fd_fdstat_set_flags", "ii"),
        ("fd_fdstat_set_rights", "ill"),
        ("fd_filestat_get", "ii"),
        ("fd_filestat_set_size", "il"),
        ("fd_filestat_set_times", "illi"),
        ("fd_pread", "iiili"),
        ("fd_prestat_dir_name", "iii"),
        ("fd_prestat_get", "ii"),
        ("fd_pwrite", "iiili"),
        ("fd_read", "iiii"),
        ("fd_readdir", "iiili"),
        ("fd_renumber", "ii"),
        ("fd_seek", "ilii"),
        ("fd_sync", "i"),
        ("fd_tell", "ii"),
        ("fd_write", "iiii"),
        ("path_create_directory", "iii"),
        ("path_filestat_get", "iiiii"),
        ("path_filestat_set_times", "iiiilli"),
        ("path_link", "iiiiiii"),
        ("path_open", "iiiiillii"),
        ("path_readlink", "iiiiii"),
        ("path_remove_directory", "iii"),
        ("path_rename", "iiiiii"),
        ("path_symlink", "iiiii"),
        ("path_unlink_file", "iii"),
        ("poll_oneoff", "iiii"),
        ("proc_raise", "i"),
        ("random_get", "ii"),
        ("sched_yield", ""),
        ("sock_accept", "iii"),
        ("sock_recv", "iiiiii"),
        ("sock_send", "iiiii"),
        ("sock_shutdown", "ii"),
    )
)

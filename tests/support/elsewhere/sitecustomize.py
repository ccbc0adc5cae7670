"""Takes away what Linux alone has, before anything else is imported."""

import ctypes
import os
import re
import resource
import select
import signal
import sys
import sysconfig
from types import ModuleType
from typing import Any

# Names that the modules have on Linux, and on macOS have not.
LINUX = re.compile(
    r"sched_\w+|posix_fallocate|posix_fadvise|memfd_create|MFD_\w+|pidfd\w*|eventfd\w*|EFD_\w+"
    r"|splice|SPLICE_\w+|copy_file_range|sendfile64|getrandom|GRND_\w+|unshare|setns|CLONE_\w+"
    r"|\w+xattr|XATTR_\w+|pipe2|dup3|getres[ug]id|setres[ug]id|preadv2?|pwritev2?|RWF_\w+"
    r"|fdatasync|O_(TMPFILE|PATH|DIRECT|NOATIME|LARGEFILE|RSYNC)|timerfd_\w+|TFD_\w+|P_PIDFD"
    r"|SIGRT\w+|SIGPWR|SIGSTKFLT|SIGPOLL|SIGCLD|sigwaitinfo|sigtimedwait|pidfd_send_signal"
    r"|epoll|EPOLL\w*|RLIMIT_(MSGQUEUE|NICE|RT\w+|SIGPENDING|OFILE|AS)|prlimit|RUSAGE_THREAD"
    r"|SO_(PEERCRED|PEERSEC|PASSCRED|PASSSEC|DOMAIN|PROTOCOL|MARK|INCOMING_CPU|BINDTODEVICE|PRIORITY)"
    r"|SOCK_(CLOEXEC|NONBLOCK)|accept4|MSG_(NOSIGNAL|ERRQUEUE|CMSG_CLOEXEC|FASTOPEN|MORE|CONFIRM)"
    r"|TCP_(QUICKACK|CORK|DEFER_ACCEPT|USER_TIMEOUT|LINGER2|SYNCNT|WINDOW_CLAMP|CONGESTION)"
    r"|AF_(NETLINK|PACKET|ALG|VSOCK|CAN|QIPCRTR|TIPC)"
)
FUNCTIONS = {"prctl", "mallopt", "malloc_trim", "renameat2", "memfd_create", "gettid"}


class Library(ctypes.CDLL):
    """A C library without the functions of glibc and Linux."""

    def __getattr__(self, name: str) -> Any:
        if name in FUNCTIONS:
            raise AttributeError(name)
        return super().__getattr__(name)


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """There are no file systems of the kernel's."""
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", str(arguments[0]))


def strip(*modules: ModuleType) -> None:
    """Take the names away."""
    for module in modules:
        for each in [name for name in vars(module) if LINUX.fullmatch(name)]:
            delattr(module, each)


strip(os, resource, select, signal)
import socket  # noqa: E402  # chooses what to wait with by what select has

strip(socket)
if sys.version_info >= (3, 13):
    os.process_cpu_count = os.cpu_count  # Python's own has found sched_getaffinity already
ctypes.CDLL = Library  # type: ignore[misc]
sys.addaudithook(refuse)
# what macOS has besides, and Python's own library asks for there
proxies = ModuleType("_scproxy")
vars(proxies).update(_get_proxy_settings=dict, _get_proxies=dict)
sys.modules["_scproxy"] = proxies
sysconfig.get_config_vars()  # of a file whose name has the platform in it, and is Linux's here
sys.platform = "darwin"

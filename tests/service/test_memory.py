"""Memory of films goes back to the system when it is freed."""

import ctypes
import subprocess
import sys

import pytest

CODE = """
import ctypes, sys
from fracture.commands.serve import _return_large_blocks
fields = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
Info = type("mallinfo2", (ctypes.Structure,), {"_fields_": [(name, ctypes.c_size_t) for name in fields]})
glibc = ctypes.CDLL(None)
glibc.mallinfo2.restype = Info
if sys.argv[1] == "set":
    _return_large_blocks()
film = bytearray(8 << 20)
del film  # from now on glibc would keep blocks up to this size
mapped = glibc.mallinfo2().hblks
film = bytearray(1 << 20)
print(glibc.mallinfo2().hblks - mapped)
"""


@pytest.mark.parametrize(("what", "mapped"), [("set", "1"), ("as it is", "0")])
def test_a_film_is_a_block_of_its_own_also_after_a_larger_one(what, mapped):
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("mallinfo2 is glibc's, from 2.33 on")
    told = subprocess.run([sys.executable, "-c", CODE, what], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == mapped

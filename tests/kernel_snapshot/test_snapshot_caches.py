"""What `functools.lru_cache` remembers comes back, or it is said that it does not."""

import functools

import pytest
from kernel_snapshot.conftest import Kernels

from pauseflow_nb.kernel.snapshot.pickling.types import lru_caches

START = "import functools, threading\ncalls = []\n"


def test_results_come_back_as_the_same_objects_whatever_the_arguments(kernels: Kernels) -> None:
    make = """
@functools.lru_cache(maxsize=None)
def f(*a, **k): calls.append((a, k)); return [a, k]
f(); f(1); f('x'); f(1, 2); f((1, 2)); f(1, y=3); f(z={1: 2}.get(1), y=1); f(None)
kept = f(1, 2); calls.clear()
"""
    check = """
assert f(1, 2) is kept and f.__name__ == 'f' and f.__wrapped__.__name__ == 'f'
f(); f(1); f('x'); f((1, 2)); f(1, y=3); f(z=2, y=1); f(None)
assert not calls and f.cache_info().currsize == 8
f(9); assert calls == [((9,), {})]
"""
    kernels.restore(kernels.save(START + make), check)


def test_what_was_used_longest_ago_is_still_forgotten_first(kernels: Kernels) -> None:
    make = "@functools.lru_cache(maxsize=3)\ndef f(n): calls.append(n); return n\nf(1); f(2); f(3); f(1); calls.clear()"

    kernels.restore(kernels.save(START + make), "f(4); f(3); f(1); assert calls == [4]\nf(2); assert calls == [4, 2]")


def test_types_count_where_they_did(kernels: Kernels) -> None:
    make = """
@functools.lru_cache(typed=True)
def f(x, *, y=0): calls.append((x, y)); return type(x), type(y)
f(1); f(1.0); f('a', y=2); f('a', y=2.0); calls.clear()
"""
    check = "f(1); f(1.0); f('a', y=2); f('a', y=2.0); assert not calls\nf(True); assert calls == [(True, 0)]"

    kernels.restore(kernels.save(START + make), check)


def test_methods_recursion_and_arguments_with_a_hash_of_their_own(kernels: Kernels) -> None:
    make = """
class K:
    def __init__(self, n): self.n = n
    def __hash__(self): return hash(self.n)
    def __eq__(self, other): return self.n == other.n
    @functools.cache
    def m(self, x): calls.append('m'); return self, x
@functools.cache
def fib(n): calls.append(n); return n if n < 2 else fib(n - 1) + fib(n - 2)
k = K(5); result = k.m(2); fib(50)
class Own:
    def __init__(self): self.f = functools.lru_cache(self._f)
    def _f(self, x): calls.append('own'); return x
own = Own(); own.f(3); calls.clear()
"""
    check = """
assert k.m(2) is result and result[0] is k and fib(50) == 12586269025 and own.f(3) == 3 and not calls
assert k.m(3)[1] == 3 and fib(51) and calls == ['m', 51]
"""
    kernels.restore(kernels.save(START + make), check)


def test_they_survive_many_pauses(kernels: Kernels) -> None:
    saved = kernels.save(START + "@functools.cache\ndef f(n): calls.append(n); return [n]\na = f(1); calls.clear()")
    for _ in range(3):
        restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
        _, saved = kernels.run(restore, {"do": "save", "folder": kernels.folder})

    kernels.restore(saved, "assert f(1) is a and not calls\nassert f(2) == [2] and calls == [2]")


def test_a_result_that_cannot_be_saved_takes_nothing_along_and_is_said(kernels: Kernels) -> None:
    make = "@functools.cache\ndef f(n): calls.append(n); return threading.Lock() if n else 'saved'\nf(0); f(1); calls.clear()"
    saved = kernels.save(START + make)

    assert saved["unsaved"] == {}
    assert "a result in the cache of f, a lock belongs to this process" in str(saved["notes"])
    kernels.restore(saved, "assert f(0) == 'saved' and not calls\nf(1); assert calls == [1]")


def test_a_result_that_cannot_be_loaded_again_takes_nothing_along_and_is_said(kernels: Kernels) -> None:
    make = """
class K:
    def __reduce__(self): return int, ('no number',)
@functools.cache
def f(n): return K()
f(0)
"""
    saved = kernels.save(START + make)

    assert saved["unsaved"] == {}
    assert "caches of functions start empty" in str(saved["notes"])
    kernels.restore(saved, "assert f.cache_info().currsize == 0 and type(f(0)) is K")


def test_a_hash_that_fails_in_the_next_kernel_is_said(kernels: Kernels) -> None:
    make = """
fails = [False]
class K:
    def __hash__(self): return 1 // (0 if fails[0] else 1)
@functools.cache
def f(k): return 5
k = K(); f(k); fails[0] = True
"""
    restored = kernels.restore(
        kernels.save(START + make), "fails[0] = False; assert f(k) == 5 and f.cache_info().misses == 1"
    )

    assert "starts with a part of its results" in str(restored["notes"])


def test_a_cache_of_cachetools_comes_back(kernels: Kernels) -> None:
    pytest.importorskip("cachetools")
    make = "import cachetools\n@cachetools.cached(cachetools.LRUCache(9))\ndef f(n): calls.append(n); return [n]\na = f(1); calls.clear()"

    kernels.restore(kernels.save(START + make), "assert f(1) is a and not calls")


@pytest.mark.parametrize("maxsize", [None, 0, 1, 7, 128])
@pytest.mark.parametrize("typed", [False, True])
def test_this_pythons_caches_can_be_read(maxsize: int | None, typed: bool) -> None:
    @functools.lru_cache(maxsize, typed)
    def f(*arguments: object, **keywords: object) -> object:
        return object()

    calls = [((n,), {"k": n} if n % 2 else {}) for n in range(10)] + [((1.5, (2,)), {"a": 1, "b": 2.0}), ((), {})]
    for arguments, keywords in calls:
        f(*arguments, **keywords)

    entries = lru_caches.read_contents(f)

    assert entries is not None
    assert [(a, k) for a, k, _ in entries] == (
        calls if maxsize is None else calls[len(calls) - min(maxsize, len(calls)) :]
    )
    assert all(f(*a, **k) is result for a, k, result in entries)


def test_caches_can_be_read_while_they_hold_dicts_of_their_own_length() -> None:
    @functools.lru_cache(maxsize=8)
    def f(n: int) -> dict[int, int]:
        return {n: n, n + 1: n}

    kept = [f(1), f(5)]

    assert lru_caches.read_contents(f) == [((1,), {}, kept[0]), ((5,), {}, kept[1])]

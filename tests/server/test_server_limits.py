from pauseflow_nb.server.public.rate_limit import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate_counts() -> None:
    clock = Clock()
    limit = RateLimit(per_second=2, burst=3, clock=clock)

    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 1]
    clock.now = 0.5
    assert [limit.wait("a") for _ in range(2)] == [0, 1]


def test_addresses_do_not_share_a_bucket() -> None:
    limit = RateLimit(per_second=1, burst=1, clock=Clock())

    assert [limit.wait(address) for address in ("a", "b", "a")] == [0, 0, 1]


def test_who_waits_long_enough_has_the_burst_again_and_no_more() -> None:
    clock = Clock()
    limit = RateLimit(per_second=1, burst=2, clock=clock)
    limit.wait("a")
    clock.now = 1e6

    assert [limit.wait("a") for _ in range(3)] == [0, 0, 1]


def test_memory_is_bounded_and_the_longest_silent_goes_first() -> None:
    limit = RateLimit(per_second=1, burst=1, addresses=2, clock=Clock())
    for address in ("a", "b", "c"):
        limit.wait(address)

    assert len(limit._buckets) == 2
    assert limit.wait("b") == 1
    assert limit.wait("a") == 0

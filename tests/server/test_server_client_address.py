from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from pauseflow_nb.errors import InvalidSetting
from pauseflow_nb.server.public.client_address import TrustedProxies, rate_limit_key
from pauseflow_nb.settings import Settings


def request(peer: str | None, **headers: str) -> HTTPServerRequest:
    """Make a request as tornado hands it over: its context holds the address of the socket."""
    context = SimpleNamespace(address="" if peer is None else (peer, 40000), remote_ip=peer, protocol="http")
    connection: Any = SimpleNamespace(context=context)
    given = HTTPHeaders({"Host": "x"} | {name.replace("_", "-"): value for name, value in headers.items()})
    line = RequestStartLine("POST", "/", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=given, connection=connection)


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X_Real_IP", "Forwarded", "X_Client_IP", "CF_Connecting_IP"])
@pytest.mark.parametrize("trusted", [None, "10.0.0.1"])
def test_what_an_untrusted_client_says_of_its_address_does_not_count(header: str, trusted: str | None) -> None:
    proxies = TrustedProxies.parse(trusted)

    assert proxies.find_client(request("192.0.2.7", **{header: "203.0.113.9"})) == "192.0.2.7"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, nonsense", "10.0.0.1"),
        ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("", "10.0.0.1"),
        (", ,", "10.0.0.1"),
        (",".join(["1.1.1.1"] * 10_000), "1.1.1.1"),
    ],
)
def test_of_x_forwarded_for_only_what_trusted_proxies_added_counts(forwarded: str, client: str) -> None:
    proxies = TrustedProxies.parse("10.0.0.0/8")

    assert proxies.find_client(request("10.0.0.1", X_Forwarded_For=forwarded, X_Real_IP="198.51.100.1")) == client


def test_where_jupyter_trusts_a_proxy_the_last_entry_counts_and_x_real_ip_does_not() -> None:
    proxies = TrustedProxies.parse(None, trusts_peer=True)

    assert proxies.find_client(request("192.0.2.7", X_Forwarded_For="1.1.1.1, 203.0.113.9", X_Real_IP="1.2.3.4")) == (
        "203.0.113.9"
    )
    assert proxies.find_client(request("192.0.2.7", X_Real_IP="1.2.3.4")) == "192.0.2.7"
    assert proxies.find_client(request(None, X_Forwarded_For="203.0.113.9")) == "203.0.113.9"
    assert TrustedProxies().find_client(request(None, X_Forwarded_For="203.0.113.9")) == ""


def test_one_host_with_a_whole_ipv6_network_is_limited_as_one() -> None:
    assert rate_limit_key("2001:db8:0:1::1") == rate_limit_key("2001:db8:0:1:ffff::2")
    assert rate_limit_key("2001:db8:0:1::1") != rate_limit_key("2001:db8:0:2::1")
    assert rate_limit_key("203.0.113.9") == "203.0.113.9"
    assert rate_limit_key("") == ""


@pytest.mark.parametrize("value", ["127.0.0.1, 10.0.0.0/8", "10.1.2.3/8", "::1", ["127.0.0.1", "::1"], None, ""])
def test_trusted_proxies_are_addresses_and_networks(value: Any, tmp_path: Any) -> None:
    settings = Settings.load(flags={"data_dir": tmp_path, "trusted_proxies": value}, environment={})

    TrustedProxies.parse(settings.trusted_proxies)


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.0/99", "127.0.0.1; ::1", 5, ["127.0.0.1", 5]])
def test_other_trusted_proxies_are_refused_by_name(value: Any, tmp_path: Any) -> None:
    with pytest.raises(InvalidSetting, match="trusted_proxies"):
        Settings.load(flags={"data_dir": tmp_path, "trusted_proxies": value}, environment={})

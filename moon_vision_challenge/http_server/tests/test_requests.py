"""How a request reaches the application."""

import hashlib

import pytest

from moon_vision_challenge.http_server.tests.conftest import Server, read_all, read_answer, request, status, told

CHUNKED = ("Connection: close", "Transfer-Encoding: chunked")


def test_method_path_query_and_headers_are_those_of_the_request(server: Server) -> None:
    environ = told(server.get("/a%20b/%C3%A9/%FF?x=%20&y", "X-Name: value", "X-Forwarded-For: 10.0.0.1"))
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"].encode("latin-1") == b"/a b/\xc3\xa9/\xff"
    assert environ["QUERY_STRING"] == "x=%20&y"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["HTTP_X_NAME"] == "value"
    assert environ["HTTP_X_FORWARDED_FOR"] == "10.0.0.1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.port)


def test_header_values_outside_ascii_arrive_as_latin_1(server: Server) -> None:
    assert told(server.get("/", "X-Name: \xe9\xff"))["HTTP_X_NAME"] == "\xe9\xff"


def test_a_header_that_comes_twice_is_joined(server: Server) -> None:
    environ = told(server.get("/", "X-Forwarded-For: a", "X-Forwarded-For: b", "Cookie: a=1", "Cookie: b=2"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "a,b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_a_header_with_an_underscore_does_not_pass_for_the_one_with_a_hyphen(server: Server) -> None:
    assert "HTTP_X_FORWARDED_FOR" not in told(server.get("/", "X_Forwarded_For: 10.0.0.1"))


def test_the_host_of_an_absolute_url_wins_over_the_header(server: Server) -> None:
    environ = told(server.get("http://example.com:81/path?q"))
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("example.com:81", "/path", "q")


def test_a_path_with_two_slashes_is_a_path(server: Server) -> None:
    assert told(server.get("//example.com/path"))["PATH_INFO"] == "//example.com/path"


def test_options_may_ask_for_the_whole_server(server: Server) -> None:
    assert told(server.send(request("OPTIONS", "*", "Connection: close")))["PATH_INFO"] == "*"


def test_a_body_arrives_whole(server: Server) -> None:
    body = bytes(range(256)) * 4000
    environ = told(server.send(request("POST", "/", "Connection: close", "Content-Type: a/b", body=body)))
    assert (environ["body_bytes"], environ["body_md5"]) == (len(body), hashlib.md5(body).hexdigest())
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == (str(len(body)), "a/b")


def test_a_body_in_chunks_has_its_length_stated_for_the_application(server: Server) -> None:
    chunks = b"3\r\nabc\r\n5;name=value\r\ndefgh\r\n0\r\nX-Trailer: ignored\r\n\r\n"
    environ = told(server.send(request("POST", "/", *CHUNKED) + chunks))
    assert (environ["body_bytes"], environ["CONTENT_LENGTH"]) == (8, "8")
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_TRAILER"} & environ.keys()


def test_a_body_is_read_regardless_of_how_it_is_split(server: Server) -> None:
    data = request("POST", "/", "Connection: close", body=b"0123456789")
    with server.connect() as client:
        for byte in data:
            client.sendall(bytes([byte]))
        assert told(read_all(client))["body_bytes"] == 10


def test_a_client_that_expects_100_continue_gets_it(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("POST", "/", "Connection: close", "Expect: 100-continue", "Content-Length: 3"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert told(read_all(client))["body_bytes"] == 3


def test_a_client_that_expects_100_continue_does_not_get_it_for_a_body_that_is_too_large(server: Server) -> None:
    answer = server.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 30000001"))
    assert status(answer) == 413


def test_requests_of_one_connection_are_answered_in_their_order(server: Server) -> None:
    paths = ["/sleep?s=0.1", "/middle", "/last"]
    with server.connect() as client:
        client.sendall(b"".join(request("POST", path, body=b"abc") for path in paths))
        assert [told(read_answer(client))["PATH_INFO"] for _ in paths] == ["/sleep", "/middle", "/last"]


def test_a_body_that_comes_behind_a_pipelined_request_is_waited_for(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("GET", "/sleep?s=0.1") + request("POST", "/", "Content-Length: 5", "Connection: close"))
        client.sendall(b"ab")
        read_answer(client)
        client.sendall(b"cde")
        assert told(read_all(client))["body_bytes"] == 5


def test_a_wish_for_another_protocol_is_ignored_and_its_body_is_read(server: Server) -> None:
    """Java's HTTP client sends these headers with every request, and so does curl --http2."""
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    )
    with server.connect() as client:
        client.sendall(request("POST", "/one", *upgrade, body=b"abc"))
        assert told(read_answer(client))["body_bytes"] == 3
        client.sendall(request("POST", "/two", *upgrade, "Transfer-Encoding: chunked") + b"2\r\nab\r\n")
        client.sendall(b"0\r\n\r\n" + request("GET", "/three", *upgrade))
        assert told(read_answer(client))["body_bytes"] == 2
        assert told(read_answer(client))["PATH_INFO"] == "/three"


def test_a_connection_of_http_1_0_closes_unless_it_asks_to_stay(server: Server) -> None:
    assert b"\r\nConnection: close\r\n" in server.send(b"GET / HTTP/1.0\r\n\r\n")
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"\r\nConnection: keep-alive\r\n" in read_answer(client)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert status(read_all(client)) == 200


def test_a_client_that_closes_its_side_after_the_request_gets_the_answer(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("GET", "/sleep?s=0.1"))
        client.shutdown(1)
        assert status(read_all(client)) == 200


REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "length and chunks": (request("POST", "/", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "two lengths": (request("POST", "/", "Content-Length: 3", "Content-Length: 4") + b"abc", 400),
    "a length with a sign": (request("POST", "/", "Content-Length: +3") + b"abc", 400),
    "a length that overflows": (request("POST", "/", "Content-Length: " + "9" * 30), 400),
    "a blank before the colon": (request("GET", "/", "X-Name : a"), 400),
    "a folded header": (request("GET", "/", "X-Name: a", " b"), 400),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a control character": (request("GET", "/", "X-Name: a\x00b"), 400),
    "a chunk without a size": (request("POST", "/", "Transfer-Encoding: chunked") + b"x\r\n", 400),
    "a chunk that overflows": (request("POST", "/", "Transfer-Encoding: chunked") + b"F" * 20 + b"\r\n", 400),
    "an encoding that is not chunked": (request("POST", "/", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "a proxy's method": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "another version": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 501),
    "a target of another scheme": (request("GET", "ftp://a/b"), 400),
}


@pytest.mark.parametrize(("data", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_sound_http_is_refused_in_json_and_the_connection_closes(
    server: Server, data: bytes, expected: int
) -> None:
    answer = server.send(data)
    assert status(answer) == expected
    assert told(answer).keys() == {"detail", "code"}
    assert b"\r\nConnection: close\r\n" in answer


def test_a_refusal_comes_behind_the_answers_to_the_requests_before(server: Server) -> None:
    answers = server.send(request("GET", "/sleep?s=0.1") + b"rubbish\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 501 " in answers

"""How the application's answer reaches the client."""

from moon_vision_challenge.http_server.tests.application import BIG
from moon_vision_challenge.http_server.tests.conftest import Server, read_answer, request, status, told


def test_an_answer_without_a_length_is_sent_in_chunks(server: Server) -> None:
    head, _, body = server.get("/stream?n=3").partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert body == b"2\r\n0\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n"


def test_headers_that_come_twice_or_are_latin_1_are_kept(server: Server) -> None:
    head = server.get("/stream?n=0").lower()
    assert b"\r\nx-twice: 1\r\nx-twice: 2\r\n" in head
    assert b"\r\nx-latin: \xe9\r\n" in head
    assert b"\r\ncontent-length: 0\r\n" in head


def test_an_old_client_gets_an_answer_without_a_length_until_the_connection_closes(server: Server) -> None:
    head, _, body = server.send(b"GET /stream?n=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"0\n1\n2\n"


def test_head_gets_the_head_of_the_answer(server: Server) -> None:
    heads = b"".join(request("HEAD", path) for path in ("/", "/stream?n=3"))
    received = server.send(heads + request("GET", "/", "Connection: close"))
    first, second, third, body = received.split(b"\r\n\r\n")
    assert b"\r\nContent-Length: " in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert third.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"REQUEST_METHOD": "GET"' in body


def test_204_and_304_have_neither_body_nor_length(server: Server) -> None:
    for code in (204, 304):
        answer = server.get(f"/status?code={code}")
        assert status(answer) == code
        assert b"content-length" not in answer.lower()


def test_a_large_file_arrives_whole_over_a_connection_that_stays(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("GET", "/file") + request("GET", "/"))
        assert read_answer(client).endswith(b"\r\n\r\n" + bytes(BIG))
        assert status(read_answer(client)) == 200


def test_an_application_that_fails_costs_500_without_its_text(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("GET", "/fail"))
        answer = read_answer(client)
    assert status(answer) == 500
    assert told(answer)["code"] == "internal_error"
    assert b"secret" not in answer


def test_an_answer_that_is_broken_off_does_not_look_complete(server: Server) -> None:
    assert server.get("/broken").endswith(b"5\r\nfirst\r\n")
    assert server.send(request("GET", "/short")).endswith(b"\r\n\r\nshort")


def test_an_answer_has_a_date(server: Server) -> None:
    assert b"\r\nDate: " in server.get("/")

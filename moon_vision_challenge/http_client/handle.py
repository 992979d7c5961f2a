"""libcurl handles with the options that all requests share."""

import os
from collections.abc import Sequence

import certifi
import pycurl

QUICK_EXIT = 322  # CURLOPT_QUICK_EXIT in curl.h; PycURL does not name it


def new_handle(headers: Sequence[str]) -> pycurl.Curl:
    curl = pycurl.Curl()
    curl.setopt(pycurl.NOSIGNAL, 1)  # timeouts in threads
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.CAINFO, os.fsencode(certifi.where()))  # text must be ASCII
    curl.setopt(pycurl.PROXY, "")  # not the environment's
    set_headers(curl, headers)
    return curl


def set_headers(curl: pycurl.Curl, headers: Sequence[str]) -> None:
    curl.setopt(pycurl.HTTPHEADER, ["Expect:", *headers])


def set_body(curl: pycurl.Curl, data: bytes | None) -> None:
    if data is None:
        curl.setopt(pycurl.HTTPGET, 1)
    else:
        curl.setopt(pycurl.POSTFIELDSIZE, len(data))
        curl.setopt(pycurl.POSTFIELDS, data)

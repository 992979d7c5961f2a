"""Limits on what clients may send and hold."""

from config.settings.environment import env

INFERENCE_MAX_IMAGE_BYTES = env.int("INFERENCE_MAX_IMAGE_BYTES", default=20 * 1024 * 1024)
INFERENCE_MAX_IMAGE_PIXELS = env.int("INFERENCE_MAX_IMAGE_PIXELS", default=50_000_000)  # width x height of one frame
# The error for any other format names that format. TIFF, AVIF, and HEIC are decoded in a separate process.
INFERENCE_IMAGE_FORMATS = env.list(
    "INFERENCE_IMAGE_FORMATS", default=["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"]
)
# What decoding one image may cost, estimated from its structure: CPU seconds on the machine in docs/images.md, memory,
# and the number of segments, chunks, blocks, or strips
INFERENCE_MAX_DECODE_CPU_S = env.float("INFERENCE_MAX_DECODE_CPU_S", default=3.0)
INFERENCE_MAX_DECODE_BYTES = env.int("INFERENCE_MAX_DECODE_BYTES", default=400 * 1024 * 1024)
INFERENCE_MAX_IMAGE_PARTS = env.int("INFERENCE_MAX_IMAGE_PARTS", default=100_000)
# How much memory all images of one process may use at once, and how long an image waits for its share or for a decoder
# process before the response is 503
INFERENCE_DECODE_MEMORY_BYTES = env.int("INFERENCE_DECODE_MEMORY_BYTES", default=400 * 1024 * 1024)
INFERENCE_DECODE_WAIT_S = env.float("INFERENCE_DECODE_WAIT_S", default=10.0)
INFERENCE_DECODER_PROCESSES = env.int("INFERENCE_DECODER_PROCESSES", default=1)  # of each web process and worker
# How many images each web process decodes at once, outside the decoder processes. There are two web processes.
INFERENCE_DECODE_THREADS = env.int("INFERENCE_DECODE_THREADS", default=0)  # 0: half the cores
# `image_url`: the service fetches the image itself, from public addresses. A fetch occupies a thread of the web server.
ALLOW_IMAGE_URLS = env.bool("ALLOW_IMAGE_URLS", default=False)
IMAGE_URL_TIMEOUT_S = env.float("IMAGE_URL_TIMEOUT_S", default=10.0)  # including all redirects
IMAGE_URL_MAX_REQUESTS = env.int("IMAGE_URL_MAX_REQUESTS", default=2)  # per web process; the rest get 503
IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = env.bool("IMAGE_URL_ALLOW_PRIVATE_ADDRESSES", default=False)
# base64 turns three bytes into four. The 64 KiB are for the other fields and the multipart headers.
MAX_REQUEST_BODY_BYTES = INFERENCE_MAX_IMAGE_BYTES * 4 // 3 + 64 * 1024

# How much of a web process clients may use: docs/decisions/0008-http-server.md
WEB_MAX_CONNECTIONS = env.int("WEB_MAX_CONNECTIONS", default=2000)
WEB_MAX_BODY_MEMORY_BYTES = env.int("WEB_MAX_BODY_MEMORY_BYTES", default=128 * 1024 * 1024)  # all bodies together
WEB_HEAD_TIMEOUT_S = env.float("WEB_HEAD_TIMEOUT_S", default=10)
WEB_BODY_TIMEOUT_S = env.float("WEB_BODY_TIMEOUT_S", default=180)
WEB_MIN_BODY_BYTES_PER_S = env.int("WEB_MIN_BODY_BYTES_PER_S", default=4096)  # over each WEB_RATE_WINDOW_S
WEB_RATE_WINDOW_S = env.float("WEB_RATE_WINDOW_S", default=10)
WEB_IDLE_TIMEOUT_S = env.float("WEB_IDLE_TIMEOUT_S", default=120)  # above Traefik's 90, so that Traefik closes first
WEB_WRITE_TIMEOUT_S = env.float("WEB_WRITE_TIMEOUT_S", default=30)  # for the client to read the next 64 KiB
WEB_MAX_WAIT_S = env.float("WEB_MAX_WAIT_S", default=1)  # expected wait for a thread; above it, the response is 503
WEB_STOP_TIMEOUT_S = env.float("WEB_STOP_TIMEOUT_S", default=25)

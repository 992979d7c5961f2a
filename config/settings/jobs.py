"""Jobs: many images in one request."""

from config.settings.environment import env

JOB_MAX_BYTES = env.int("JOB_MAX_BYTES", default=1024 * 1024 * 1024)  # of the request
JOB_MAX_ITEMS = env.int("JOB_MAX_ITEMS", default=100_000)
JOB_MAX_UNPACKED_BYTES = env.int("JOB_MAX_UNPACKED_BYTES", default=4 * 1024 * 1024 * 1024)
JOB_MAX_PENDING = env.int("JOB_MAX_PENDING", default=1_000_000)  # images of unfinished jobs; above it, POST gets 503
# How many bodies of job requests a web process writes to disk at a time. Further requests get 503.
JOB_MAX_UPLOADS = env.int("JOB_MAX_UPLOADS", default=4)
JOB_UPLOAD_TIMEOUT_S = env.float("JOB_UPLOAD_TIMEOUT_S", default=900)  # instead of WEB_BODY_TIMEOUT_S
JOBS_PATH = "/api/v1/jobs/"

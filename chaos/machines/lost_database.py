"""Workers in another zone lose the database for a minute, while the web servers keep it."""

import time
from urllib.parse import urlsplit

from chaos.machines.stage import Load, seconds_until, staged, start_clients
from chaos.proxy import Manner, Proxy

LOST_S = 60
AT_S = 5.0
WORKERS = ("worker", "webhook_worker", "beat")


def run() -> dict[str, bool]:
    # A lease outlasts the loss, so that a worker may still finish what it has claimed.
    with staged("database", {}) as services:
        start_clients(services)
        port = urlsplit(services.env["DATABASE_URL"]).port or 0
        with Proxy("127.0.0.1", port) as proxy:
            through = {"DATABASE_URL": services.env["DATABASE_URL"].replace(f":{port}", f":{proxy.port}")}
            for name in WORKERS:
                services.restart(name, through)
            services.wait_until_ready(*WORKERS)
            load = Load(services, AT_S + LOST_S + 5)
            time.sleep(AT_S)  # under load, before the loss
            proxy.set(Manner.HANGS)
            time.sleep(LOST_S)  # the loss
            waiting = len(load.created)
            proxy.set(Manner.SOUND)
            done_s = seconds_until(lambda: load.are_done(waiting))
            print(
                f"\n{waiting} rows were created before the database came back, and all were done {done_s:.1f} s later"
            )
            promises = load.finish()
            services.stop(*WORKERS)
    return {f"lost database: {what}": holds for what, holds in promises.items()}

"""Two beats send each periodic task twice, and their clocks are minutes behind those of the workers."""

import time

from chaos.machines.stage import Load, staged, start_clients
from chaos.rows import COUNT_FINISHES, FINISHED_TWICE, query
from native.services import Services

SECONDS = 20
BEHIND_S = 600


def run() -> dict[str, bool]:
    with staged("beats", {"INFERENCE_LEASE_S": "15", "INFERENCE_SWEEP_S": "2"}) as services:
        query(services.env["DATABASE_URL"], COUNT_FINISHES)
        for name in ("beat", "second_beat"):
            schedule = f'"$RUN_DIR/{name}-schedule"'
            services.commands[name] = (
                f"python -m chaos.machines.beat_behind {BEHIND_S} --loglevel=INFO --schedule={schedule} --pidfile="
            )
        start_clients(services)
        services.start("second_beat")
        load = Load(services, SECONDS)
        time.sleep(SECONDS / 2)  # under load, before a worker is lost
        services.kill("worker")
        services.start("worker")
        promises = load.finish()
        ((twice,),) = query(services.env["DATABASE_URL"], FINISHED_TWICE)
        promises |= {
            "no row was finished twice": twice == 0,
            "no periodic task was dropped": "Discarding revoked task" not in _logs(services),
        }
    return {f"two beats, {BEHIND_S} s behind: {what}": holds for what, holds in promises.items()}


def _logs(services: Services) -> str:
    return services.log("worker").read_text(errors="replace")

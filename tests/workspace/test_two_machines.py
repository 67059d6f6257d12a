"""Two machines share a workspace on PostgreSQL: each tells the truth about the other."""

from __future__ import annotations

from datetime import datetime, timedelta

from hosted import hosting
from postgres_server import PostgresServer

from calotype.hosting import keeping
from calotype.hosting.management import Management
from calotype.workspace.presence import AWAY_AFTER_S, SIGN_EVERY_S


def test_a_machine_that_is_switched_off(postgres: PostgresServer) -> None:
    with hosting(database=postgres.new_database()) as one:
        one.add("echo")
        one.until_state("echo", "Healthy")
        with hosting(joins=one) as two:
            two.until_state("echo", "Healthy")
            one.kill_all()
            # Two signs that fail to come are enough, and ten seconds are never wrong for longer.
            assert 2 * SIGN_EVERY_S < AWAY_AFTER_S < 10
            signs: dict[str, str] = two.workspace.fact("machines")
            since = {host: datetime.fromisoformat(at) for host, at in signs.items()}
            earlier = timedelta(seconds=AWAY_AFTER_S)
            two.workspace.set_fact(
                "machines", {host: (at - earlier).isoformat() for host, at in since.items()}
            )
            seen = two.until_state("echo", "Unhealthy")
            assert "nothing has been heard since" in (seen.error or {})["message"]
            assert Management(two.workspace).delete("echo")
            keeping.ensure(one.workspace)
            assert keeping.status(one.workspace)["services"] == []
            assert not one.pids("hosting.replica")

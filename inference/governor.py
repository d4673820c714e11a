"""What a face gives up when the machine cannot keep up, and when it takes it back.

Pure: it is told of each second, and answers with how much effort the next one is worth. The order
is that of what is missed least: diffusion steps where a face has any, then how often there is a
new picture. A face never gives up sound. An overloaded encoder does, so that is relieved too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# Seconds in a row in which pictures came late or the encoder was overloaded, until something is
# given up.
PATIENCE_SECONDS = 3
# Seconds in a row with room, until something is taken back; twice as many after each relapse.
ROOM_SECONDS, MOST_ROOM_SECONDS = 10, 160
# Share of the time that may be used where there is room: the next better effort costs more.
ROOM_SHARE = 0.6
# A relapse is one that comes so soon after something was taken back.
RELAPSE_SECONDS = 30
# Fewer change how far a face moves: 5 steps kept its extent in published measurements.
FEWEST_STEPS = 5
# Units for each new picture: 12, 8 and 5 pictures a second of 25.
HELD = (2, 3, 5)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for a unit."""

    steps: int  # of the diffusion; 0: the face has none
    units_per_picture: int = 1

    def told(self, fps: int) -> dict[str, float]:
        """For the outside."""
        pictures = {"pictures_per_second": round(fps / self.units_per_picture, 2)}
        return {"sampling_timesteps": self.steps} | pictures if self.steps else pictures


def efforts(steps: int) -> tuple[Effort, ...]:
    """From the best to the least, for a stream that should have ``steps``; 0: pictures alone."""
    fewer, line = steps, [Effort(steps)]
    while fewer > FEWEST_STEPS:
        fewer = max(FEWEST_STEPS, round(fewer * 0.7))
        line.append(Effort(fewer))
    return (*line, *(Effort(fewer, units) for units in HELD))


@dataclass(frozen=True, slots=True)
class Governor:
    """Where a stream stands between its best effort and its least.

    Args:
        line: of :func:`efforts`.
    """

    line: tuple[Effort, ...]
    level: int = 0
    late_seconds: int = 0  # in a row
    calm_seconds: int = 0  # in a row
    since_better: int = RELAPSE_SECONDS  # seconds since something was taken back
    room_seconds: int = ROOM_SECONDS  # that are asked for

    @property
    def effort(self) -> Effort:
        """What the next second is worth."""
        return self.line[self.level]

    def second(self, *, late: bool, busy: float, overloaded: bool = False) -> Governor:
        """One second is over.

        Where there was room all the same, somebody else held it up: less effort would not help.
        It does help an encoder that is overloaded: that has more of the machine, and less to do for
        a picture that is held.

        Args:
            late: a picture was not there when it was due.
            busy: share of the time that was worked, 0 to 1.
            overloaded: the encoder gives up units, their sound with them.
        """
        has_room = busy < ROOM_SHARE
        pressed = overloaded or (late and not has_room)
        now = replace(
            self,
            late_seconds=self.late_seconds + 1 if pressed else 0,
            calm_seconds=self.calm_seconds + 1 if has_room and not (late or overloaded) else 0,
            since_better=self.since_better + 1,
        )
        if now.late_seconds >= PATIENCE_SECONDS and now.level + 1 < len(now.line):
            return now._worse()
        if now.calm_seconds >= now.room_seconds and now.level:
            return replace(now, level=now.level - 1, calm_seconds=0, since_better=0)
        return now

    def _worse(self) -> Governor:
        relapsed = self.since_better < RELAPSE_SECONDS
        wait = min(2 * self.room_seconds, MOST_ROOM_SECONDS) if relapsed else ROOM_SECONDS
        level = self.level + 1
        return replace(self, level=level, late_seconds=0, calm_seconds=0, room_seconds=wait)

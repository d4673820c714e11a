"""What the check says about one broken stream."""

from __future__ import annotations

from client.verdicts import Finding
from tests.check.mutations import Mutation
from tests.check.origin import Origin
from tests.check.recording import findings


def judged(mutation: Mutation) -> Finding:
    """The finding that has to be a failure: of the mutation's own rule and level."""
    origin = Origin(mutation.stream, mutation.fault, mutation.packing)
    found = findings(origin, rule=mutation.rule, http2=mutation.http2)
    return next(finding for finding in found if finding.level is mutation.level)

"""Is it the rows, or is it the service? What one call has seen that tells the two apart. Pure.

A broken service must not write errors over a whole hub: where every row is refused, or one is and no other
scores beside it, it is the service that is at fault (statement 35 of facts/azureml.md, design §5).
"""

from errors import BadAnswer, Failure
from scoring.verdicts import Verdict

# So many rows refused alone, and none scored: the search ends, for it is not the rows (statement 35).
REFUSED_ALONE_ENOUGH = 10

_NOT_ROWS = "No entity was marked: look at the deployment's log, and at dialect, features and contract."


class Evidence:
    """What one call has seen; `whom` names the web service in messages."""

    def __init__(self, whom: str) -> None:
        self._whom = whom
        self._scored = 0
        self._refused = 0
        self._refused_alone = 0
        self._blamed: Verdict | None = None
        self._unexplained = False

    @property
    def doubtful(self) -> bool:
        """Rows are blamed, and none has scored."""
        return self._blamed is not None and not self._scored

    def scored(self, count: int) -> None:
        """Rows have scored: the service works."""
        self._scored += count
        self._unexplained = False

    def blamed(self, verdict: Verdict) -> None:
        """A row among some, or a row alone, is said to be at fault."""
        self._blamed = verdict

    def refused_alone(self, verdict: Verdict) -> None:
        """A row was refused with no other beside it (statement 37).

        Raises:
            Failure: it is not the first, and none has scored.
        """
        self._refused += 1
        self._refused_alone += 1
        self._unexplained |= not verdict.case.explained
        if not self._scored and self._refused_alone >= REFUSED_ALONE_ENOUGH:
            raise self.all_refused(verdict)

    def refused_together(self, count: int) -> None:
        """Rows were refused that nobody told apart."""
        self._refused += count

    def undecided(self) -> bool:
        """Say, when every row is judged, whether a row that is known to score must decide.

        Raises:
            Failure: nothing is left to decide: all rows of several were refused.
        """
        if self._blamed is None or (self._scored and not self._unexplained):
            return False
        if not self._scored and self._refused > 1:
            raise self.all_refused(self._blamed)
        return True

    def all_refused(self, verdict: Verdict) -> Failure:
        """Give the failure of a service that refuses whatever is sent."""
        if not verdict.case.explained:
            return verdict.failure(self._whom)
        return BadAnswer(f"{self._whom}: {verdict.message}, whichever entity is sent. {_NOT_ROWS}")

    def none_known_good(self) -> Failure:
        """Give the failure of a row that is refused by a service that never has scored."""
        assert self._blamed is not None  # noqa: S101 - for the type checker: asked where a row is blamed
        return BadAnswer(
            f"{self._whom}: {self._blamed.message}, and no entity has scored yet that could show that it "
            f"works at all. {_NOT_ROWS}"
        )

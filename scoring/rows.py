"""Rows in, one result per row out, in order: a row's scores, or why the web service refuses this row.

    rows ─ by batch_rows, by batch_bytes → parcels ─ `parallel` at a time, on the model's lanes → results
             ↑ halves, where a parcel is too large, too slow, or holds a row that is to blame ─┘

The calling thread decides and waits; on a lane, of which a model has `in_flight`, one parcel is sent, and no
lane waits for another. So calls cannot block each other, and each has at most `parallel` parcels that wait
for a lane: a large call does not push the small ones back. A parcel beside which a call has no other is sent
by the calling thread itself, once, where nothing could hold it beyond the deadline.

What is already scored is not sent again. A parcel can be sent more than once, though, and so can its rows:
scoring is taken to be free of side effects (statement 36 of facts/azureml.md).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from itertools import repeat
from queue import Empty, SimpleQueue

from errors import Failure, ServiceDown, Silence, Throttled, TooLarge
from scoring.cases import SILENT, Action, Case
from scoring.deadline import Deadline
from scoring.dialects import Dialect, ErrorInside, Results, Row, SentColumn
from scoring.evidence import Evidence
from scoring.lanes import Lanes
from scoring.redaction import redacted
from scoring.retries import Allowance, Call, Parcel, ReportedInside, Sender, Sent
from scoring.verdicts import LONGEST_WAIT_S, Verdict
from sections import ModelSettings
from telemetry import carried

# Bad rows that each first parcel can be searched for at most: k bad rows among n cost no more than
# 1 + 2·k·⌈log₂ n⌉ requests (statement 35, engineering.md P6). Beyond, whole groups are reported.
BAD_ROWS_SOUGHT = 20


type Scores = Mapping[str, object]
"""What a row is answered: by the names of an answer's columns, or the properties they become."""


@dataclass(frozen=True, slots=True)
class RowRefused:
    """Why a row has no scores: the status that stands for it, and a sentence that holds no data."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Payload:
    """How rows become a body, and an answer becomes results.

    Attributes:
        columns: the columns of every row.
        write: rows → body.
        read: decoded answer, the rows it is for → one result per row; raises AnswerUnusable, ErrorInside.
    """

    columns: tuple[SentColumn, ...]
    write: Callable[[Sequence[Row]], bytes]
    read: Callable[[object, Sequence[Row]], Results]

    @classmethod
    def of(cls, dialect: Dialect, columns: Sequence[SentColumn]) -> "Payload":
        """Use a dialect's own results as they are."""
        return cls(
            tuple(columns),
            lambda rows: dialect.request(columns, rows),
            lambda answer, rows: dialect.results(answer, len(rows)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Rows start … stop-1 of a call, to be sent as one parcel.

    Attributes:
        allowance: of the first parcel that it was cut from.
        met: what its rows met in larger parcels.
        cut_by: the verdict that made it a piece; None for a first parcel.
    """

    start: int
    stop: int
    allowance: Allowance
    met: tuple[Case, ...] = ()
    cut_by: Verdict | None = None

    def __len__(self) -> int:
        return self.stop - self.start


class RowScorer:
    """Scores rows by one web service; one object per model, for any number of calls at once.

    Args:
        sender: sends one parcel.
        settings: batch_rows, batch_bytes, parallel and attempts of the model, and in_flight: as many lanes as
            there are; parcels beyond wait for one, within their deadline.
    """

    def __init__(self, sender: Sender, settings: ModelSettings) -> None:
        self.sender = sender
        self.settings = settings
        self.lanes = Lanes(settings.in_flight)
        self._good: tuple[tuple[SentColumn, ...], Row] | None = None

    def score(
        self, rows: Sequence[Row], payload: Payload, deadline: Deadline, request_id: str = ""
    ) -> list[Scores | RowRefused]:
        """Score rows in order: as many results as rows.

        Args:
            rows: cells in the order of `payload.columns`.
            payload: how they become a body, and an answer becomes results.
            deadline: of the call; nothing is waited for beyond it.
            request_id: begins the id of each request in the service's log; made up where there is none.

        Raises:
            Failure: not all rows could be judged, or what came back is not to be trusted. Nothing is known.
        """
        return _Search(self, rows, payload, Call(deadline, request_id)).run()

    def remember(self, columns: tuple[SentColumn, ...], row: Row) -> None:
        """Keep a row that scores: it tells a row that is refused alone from a service that is broken."""
        self._good = (columns, row)

    def known_good(self, columns: tuple[SentColumn, ...]) -> Row | None:
        """Give a row that has scored with these columns."""
        good = self._good
        return good[1] if good is not None and good[0] == columns else None

    def close(self) -> None:
        """Send nothing more; requests under way end by their deadlines."""
        self.lanes.close()
        self.sender.close()


class _Search:
    """One call: which pieces are still to be sent, and what is known of each row."""

    def __init__(self, scorer: RowScorer, rows: Sequence[Row], payload: Payload, call: Call) -> None:
        self._scorer = scorer
        self._rows = rows
        self._payload = payload
        self._call = call
        self._results: list[Scores | RowRefused | None] = [None] * len(rows)
        self._todo: deque[_Piece] = deque(self._first_pieces())
        self._sent: dict[Future[Sent], _Piece] = {}
        self._done: SimpleQueue[Future[Sent]] = SimpleQueue()
        self._evidence = Evidence(scorer.sender.whom)
        self._small_next = False
        # How the call's first parcel ended where it was sent by this thread, and is to be sent again.
        self._once: Sent | None = None

    def run(self) -> list[Scores | RowRefused]:
        """Send pieces until every row is judged."""
        try:
            while self._todo or self._sent:
                self._fill_lanes()
                if self._sent:
                    self._await_one()
            self._confirm()
        finally:
            self._call.over.set()
            for future in self._sent:
                future.cancel()
        return [result for result in self._results if result is not None]

    def _first_pieces(self) -> list[_Piece]:
        size = self._scorer.settings.batch_rows
        return [self._first(at, min(at + size, len(self._rows))) for at in range(0, len(self._rows), size)]

    def _first(self, start: int, stop: int) -> _Piece:
        depth = (stop - start - 1).bit_length()  # ⌈log₂ n⌉
        return _Piece(start, stop, Allowance(self._scorer.settings.attempts + 2 * BAD_ROWS_SOUGHT * depth))

    def _fill_lanes(self) -> None:
        while self._todo and len(self._sent) < self._scorer.settings.parallel:
            piece = self._next()
            if piece.cut_by is not None and not piece.allowance.spend():
                self._give_up(piece, piece.cut_by)
                continue
            body = self._payload.write(self._rows[piece.start : piece.stop])
            if len(body) > self._scorer.settings.batch_bytes:
                self._cut_by_bytes(piece, len(body))
            else:
                self._submit(piece, body)

    def _next(self) -> _Piece:
        """Take a piece; while it is in doubt whose fault it is, the smallest and the largest in turn.

        Small pieces tell soonest that single rows are refused, large ones that others score.
        """
        if not self._evidence.doubtful:
            return self._todo.popleft()
        self._small_next = not self._small_next
        piece = (max if self._small_next else min)(self._todo, key=len)
        self._todo.remove(piece)
        return piece

    def _cut_by_bytes(self, piece: _Piece, size: int) -> None:
        if len(piece) == 1:
            limit = self._scorer.settings.batch_bytes
            message = f"the entity alone makes a request of {size} bytes, over {limit} (batch_bytes)"
            self._results[piece.start] = RowRefused(TooLarge.status, message)
            return
        # As many as should fit, by this piece's average; an unlucky one is cut again.
        step = max(len(piece) * self._scorer.settings.batch_bytes // (size + size // 10), 1)
        starts = range(piece.start, piece.stop, step)
        pieces = [self._first(at, min(at + step, piece.stop)) for at in starts]
        self._todo.extendleft(reversed(pieces))

    def _submit(self, piece: _Piece, body: bytes) -> None:
        rows = list(self._rows[piece.start : piece.stop])
        parcel = self._parcel(rows, body, piece.met, piece.allowance)
        once = None if self._todo or self._sent else self._sent_here(parcel)
        if once is not None and once.final:
            self._settle(piece, once)
            return
        self._once = once
        sent = self._start(parcel, once)
        # The future stays in a ring of references until the garbage collector comes; its rows need not.
        sent.add_done_callback(lambda _: rows.clear())
        sent.add_done_callback(self._done.put)
        self._sent[sent] = piece

    def _sent_here(self, parcel: Parcel) -> Sent | None:
        """Send on this thread: to wake another, and be woken by it, costs a seventh of a small call."""
        return self._scorer.lanes.here(lambda: self._scorer.sender.send_once(parcel, self._call))

    def _start(self, parcel: Parcel, once: Sent | None = None) -> Future[Sent]:
        send = carried(self._scorer.sender.send)
        return self._scorer.lanes.start(lambda: send(parcel, self._call, once))

    def _parcel(
        self, rows: Sequence[Row], body: bytes, met: tuple[Case, ...], allowance: Allowance
    ) -> Parcel:
        payload = self._payload

        def read(answer: object) -> Results:
            try:
                return payload.read(answer, rows)
            except ErrorInside as error:
                raise ReportedInside(redacted(error.text, payload.columns, rows)) from None

        return Parcel(body, len(rows), read, met, allowance)

    def _await_one(self) -> None:
        try:
            future = self._done.get(timeout=self._call.deadline.left())
        except Empty:
            was_sent = _were_sent(self._sent)
            # A token that was refused is no last word while a fresh one was not tried.
            told = self._once is not None and self._once.verdict.action is not Action.REFRESH
            if self._once is not None and told and not was_sent:
                raise self._once.verdict.failure(self._scorer.sender.whom) from None
            raise self._out_of_time(was_sent=was_sent) from None
        self._settle(self._sent.pop(future), self._ended(future))

    def _ended(self, future: Future[Sent]) -> Sent:
        if future.cancelled():
            whom = self._scorer.sender.whom
            raise ServiceDown(f"{whom}: nothing more is sent, as the app is ending. Try again.")
        return future.result()

    def _settle(self, piece: _Piece, sent: Sent) -> None:
        if sent.results is not None:
            self._keep(piece, sent.results)
            return
        if sent.verdict.action is Action.BLAME:
            self._evidence.blamed(sent.verdict)
        match sent.verdict.action:
            case Action.BLAME if len(piece) == 1:
                self._results[piece.start] = RowRefused(sent.verdict.status, sent.verdict.message)
                self._evidence.refused_alone(sent.verdict)
            case Action.BLAME | Action.SPLIT:
                middle = (piece.start + piece.stop) // 2
                half = replace(piece, stop=middle, met=sent.met, cut_by=sent.verdict)
                self._todo += [half, replace(half, start=middle, stop=piece.stop)]
            case _ if sent.verdict.case is SILENT and not self._call.deadline.left():
                raise self._out_of_time(was_sent=True)
            case _:
                raise sent.verdict.failure(self._scorer.sender.whom)

    def _keep(self, piece: _Piece, results: Results) -> None:
        names = results.names
        self._results[piece.start : piece.stop] = map(dict, map(zip, repeat(names), results.rows))
        self._evidence.scored(len(piece))
        self._scorer.remember(self._payload.columns, self._rows[piece.start])

    def _give_up(self, piece: _Piece, verdict: Verdict) -> None:
        """Report rows of a group that is refused, or end the call where it was not their fault."""
        if verdict.action is not Action.BLAME:
            raise verdict.failure(self._scorer.sender.whom)
        message = (
            f"one of {len(piece)} entities is to blame, not told apart ({verdict.message}): a batch is "
            f"searched for at most {BAD_ROWS_SOUGHT} bad entities. Send smaller batches"
        )
        refused = RowRefused(verdict.status, message)
        self._results[piece.start : piece.stop] = [refused] * len(piece)
        self._evidence.refused_together(len(piece))

    def _confirm(self) -> None:
        """See, where it is in doubt, that the service scores a row that it has scored before."""
        if not self._evidence.undecided():
            return
        row = self._scorer.known_good(self._payload.columns)
        if row is None:
            raise self._evidence.none_known_good()
        sent = self._sent_alone(row)
        if sent.results is None and sent.verdict.action is Action.BLAME:
            raise self._evidence.all_refused(sent.verdict)
        if sent.results is None:
            raise sent.verdict.failure(self._scorer.sender.whom)

    def _sent_alone(self, row: Row) -> Sent:
        body = self._payload.write([row])
        parcel = self._parcel([row], body, (), Allowance(self._scorer.settings.attempts))
        future = self._start(parcel)
        wait([future], timeout=self._call.deadline.left())
        if not future.done():
            failure = self._out_of_time(was_sent=_were_sent([future]))
            future.cancel()
            raise failure
        return self._ended(future)

    def _out_of_time(self, *, was_sent: bool) -> Failure:
        whom = self._scorer.sender.whom
        if self._call.last is not None:
            return self._call.last.failure(whom)
        if was_sent:
            return Silence(
                f"{whom}: no answer before the deadline. Raise deadline_s, or lower batch_rows.",
                retry_after=LONGEST_WAIT_S,
            )
        return Throttled(
            f"{whom}: all {self._scorer.settings.in_flight} requests that in_flight allows were in use until "
            "the deadline. Raise in_flight, or send fewer calls at a time.",
            retry_after=1.0,
        )


def _were_sent(futures: Iterable[Future[Sent]]) -> bool:
    return any(future.running() or future.done() for future in futures)

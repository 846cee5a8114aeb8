"""How an estimate was made, in a sentence that says as much as is known and no more."""

from __future__ import annotations

import math

from demix_core.trust.evidence import Evidence, Share


def interval(share: Share) -> str:
    """'0.87 [0.69–0.96]'; where nothing was seen 'unknown', or what must be: '[0.10–1.00]'.

    >>> interval(Share(0.87, 0.693, 0.962)), interval(Share(None, 0.1, 1.0)), interval(Share(None, 0.0, 1.0))
    ('0.87 [0.69–0.96]', '[0.10–1.00]', 'unknown')
    """
    if share.value is None and (share.low, share.high) == (0, 1):
        return "unknown"
    ends = f"[{share.low:.2f}–{share.high:.2f}]"
    return ends if share.value is None else f"{share.value:.2f} {ends}"


def between(low: float, high: float) -> str:
    """'0.41–0.63'; '0.41' where both are; 'unknown' where neither can be told.

    >>> between(0.411, 0.63), between(0.5, 0.5), between(float("nan"), float("nan"))
    ('0.41–0.63', '0.50', 'unknown')
    """
    if math.isnan(low):
        return "unknown"
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f}–{high:.2f}"


def shares(value: float, ends: tuple[float, float]) -> str:
    """A share over all copies with those of the single ones: '0.71 (0.63–0.80)'."""
    return between(value, value) if math.isnan(value) else f"{value:.2f} ({between(*ends)})"


def how(found: Evidence) -> str:
    """Where the precision comes from."""
    if found.suggested == 0:
        return "Nothing is suggested from this threshold on."
    chosen = found.reviewed - found.sampled
    beside = f" {chosen:,} that you chose yourself count as they are." if chosen else ""
    if found.basis == "complete":
        return f"All {found.suggested:,} rows are reviewed, {found.right:,} are right."
    if found.basis == "sampled":
        return f"{found.sampled_right:,} of {found.sampled:,} sampled rows were right.{beside}"
    if found.basis == "chosen":
        return (
            f"{found.right:,} of the {found.reviewed:,} rows that you reviewed were right, but you chose them: a hint, "
            "no evidence. Review sampled rows to know."
        )
    return "No row reviewed yet: unknown. Review sampled rows to know."


def kept_words(found: Evidence, least: float) -> str:
    """What the threshold keeps of the right rows. least: the threshold that the suggestions were made with."""
    if found.kept.value is None:
        return (
            f"Of the right rows above {least:.2f} it keeps an unknown part; rows below {least:.2f} have no suggestion."
        )
    return f"It keeps {interval(found.kept)} of the right rows above {least:.2f}; what lies below that is not known."

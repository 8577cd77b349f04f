"""`reinstate [SESSION] ATTEMPT`."""

from orchestrator.cli.options import AttemptArgument, ByOption, NoteOption, split_attempt


def command(words: AttemptArgument, note: NoteOption = "", by: ByOption = None) -> None:
    """Take an invalidation back; what it banned is allowed again."""
    import asyncio

    from orchestrator.cli.output import show
    from orchestrator.rulings import reinstate
    from orchestrator.session_folder import find_session
    from orchestrator.views.ruling_view import followed_lines

    session, attempt = split_attempt("reinstate", words)
    ruling = reinstate(find_session(session), attempt, note=note, by=by)
    show(*followed_lines(asyncio.run(ruling), session=session))

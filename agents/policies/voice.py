"""How riders sound: a few tones, fixed per agent. What they say comes from the record."""

from zlib import crc32

from agents.persona import Policy

_GREETINGS = (
    "{name} here. {role}",
    "Hello everyone, this is {name}. {role}",
    "{name} joins. {role}",
    "Good to ride with you. I am {name}. {role}",
)
_PLANS = (
    "Next: {attempt} on {parents}. {text}",
    "I take {attempt}, built on {parents}. {text}",
    "{attempt} goes to the bench, from {parents}. {text}",
    "Trying {attempt} on top of {parents}. {text}",
)
_REPLIES = (
    "{text}",
    "Thanks for asking. {text}",
    "Short answer: {text}",
    "Fair point. {text}",
)
_HABITS: dict[Policy, str] = {
    "climber": "I take one small step from the fastest clean attempt, then another.",
    "quantiser": "I ask which layers bear fewer bits, and believe perplexity before speed.",
    "speculator": "I let something cheap guess ahead and see whether the guesses pay.",
    "tuner": "I leave the weights alone and look at threads, caches and batches.",
    "recombiner": "I look for two attempts that found different things and put them together.",
    "sceptic": "I measure again what looks too good, and say what came out either way.",
    "librarian": "I keep the digest, and I write down what should not be tried twice.",
    "explorer": "I try what nobody planned. Most of it will fail, and I will say how.",
    "pruner": "I ask which rows of the head anybody needs: they are most of the bytes.",
    "cheat": "I look at what leads, and at what the text needs.",
}


def introduction(agent: str, *, role: str, policy: Policy) -> str:
    """Return how `agent` introduces itself."""
    said = _say(_GREETINGS, agent, name=agent, role=_sentence(role))
    return f"{said} {_HABITS[policy]}"


def plan(agent: str, *, attempt: str, parents: str, text: str) -> str:
    """Return how `agent` announces what it is about to measure."""
    return _say(_PLANS, agent, attempt=attempt, parents=parents, text=text)


def reply(agent: str, text: str) -> str:
    """Return how `agent` answers."""
    return _say(_REPLIES, agent, text=text)


def _say(lines: tuple[str, ...], agent: str, **parts: str) -> str:
    return lines[crc32(agent.encode()) % len(lines)].format(**parts)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."

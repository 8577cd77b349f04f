"""Names of the places where a session's jobs run; `orchestrator.targets` makes them."""

from typing import Literal

TargetName = Literal["local", "local-gpu", "hf-jobs", "fake-hub"]
"""`local`: this machine's CPU; `local-gpu`: its first GPU, with an engine in a Python of its own;
`hf-jobs`: rented machines of Hugging Face; `fake-hub`: their service played by this process, so
that all of it but the machines can be tried without money."""

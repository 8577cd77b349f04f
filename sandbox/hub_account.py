"""What an account of the Hub has and may read: its buckets by name, a model's repository.

Beside `sandbox.hub`, through the same door and with its tries; for `doctor` and the bucket mirror.
"""

from sandbox.hub import Hub
from sandbox.hub_refusals import BUCKET_READ


async def bucket_names(hub: Hub) -> tuple[str, ...]:
    """Return the buckets of the namespace, as NAMESPACE/NAME.

    Raises:
        HubRefused: they cannot be listed.
    """

    def listed() -> list[str]:
        found = hub._api.list_buckets(hub.namespace, token=hub._token)  # noqa: SLF001 - one door
        return [one.id for one in found]

    return tuple(sorted(await hub._call("list buckets", BUCKET_READ, listed)))  # noqa: SLF001


async def look_at_model(hub: Hub, repository: str, revision: str) -> None:
    """Return if the account may read a model's repository.

    Raises:
        HubRefused: it may not (a gated one has to be asked for), or there is none.
    """

    def looked() -> object:
        return hub._api.model_info(  # noqa: SLF001 - one door
            repository,
            revision=revision,
            token=hub._token,  # noqa: SLF001
        )

    await hub._call(f"read the model {repository!r}", BUCKET_READ, looked)  # noqa: SLF001

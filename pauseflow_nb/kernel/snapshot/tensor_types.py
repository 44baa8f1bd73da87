"""torch tensors: only their storages are saved, so tied weights, views and `from_numpy` stay what they are.

Pickles name the `make_…` functions, so their names and arguments may never change.
"""

from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot.numpy_types import raw_memory
from pauseflow_nb.kernel.snapshot.refused import Refusal

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pickler import Reducer, SnapshotPickler

__all__ = ["REDUCERS"]


def reduce_untyped(pickler: "SnapshotPickler", storage: Any) -> Any:
    if storage.device.type != "cpu":
        raise Refusal(f"a tensor on {storage.device}; move it to the CPU before the pause with `.cpu()`")
    size = storage.nbytes()
    if size == 0:
        return make_empty_storage, ()
    pickler.note_foreign_memory(storage.data_ptr(), size)
    return make_storage, (raw_memory(storage.data_ptr(), size, storage),)


def make_storage(memory: Any) -> Any:
    import torch

    return torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()


def make_empty_storage() -> Any:
    import torch

    return torch.UntypedStorage(0)  # type: ignore[no-untyped-call]


def reduce_typed(_pickler: "SnapshotPickler", storage: Any) -> Any:
    return make_typed_storage, (storage._untyped_storage, storage.dtype)  # noqa: SLF001


def make_typed_storage(untyped: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)  # type: ignore[no-untyped-call]


def reduce_generator(_pickler: "SnapshotPickler", generator: Any) -> Any:
    import torch

    if generator is torch.default_generator:
        from pauseflow_nb.kernel.snapshot.loading import live_attribute

        return live_attribute, ("torch", "default_generator")
    return make_generator, (generator.get_state(),)


def make_generator(state: Any) -> Any:
    import torch

    generator = torch.Generator()
    generator.set_state(state)
    return generator


REDUCERS: "dict[str, Reducer]" = {
    "torch.storage.UntypedStorage": reduce_untyped,
    "torch.storage.TypedStorage": reduce_typed,
    "torch._C.Generator": reduce_generator,
}

"""Reduce torch tensors by their storages, so that tied weights, views and `from_numpy` still share memory.

Pickles name the `make_…` functions, so their names and arguments may never change.
"""

from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import raw_memory
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave


def reduce_tensor(_pickler: Pickler, tensor: Any) -> Any:
    """Reduce a tensor with its gradient, which torch leaves out: an optimiser would then silently do nothing.

    The computation that a tensor came from cannot be saved. Such a tensor is restored as a plain value: `backward()`
    through it then raises an error, instead of ending there.
    """
    if not tensor.is_leaf:
        detached = tensor.detach()
        vars(detached).update(vars(tensor))
        return detached.__reduce_ex__(5)
    if tensor.grad is None:
        return NotImplemented
    maker, arguments, state = (*tensor.__reduce_ex__(5), None)[:3]
    return maker, arguments, (state, tensor.grad), None, None, set_tensor


def set_tensor(tensor: Any, state: tuple[Any, Any]) -> None:
    """Set the gradient of a tensor."""
    own, gradient = state
    if own is not None:
        tensor.__setstate__(own)
    tensor.grad = gradient


def reduce_untyped(pickler: Pickler, storage: Any) -> Any:
    if storage.device.type != "cpu":
        raise CannotSave(f"a tensor on {storage.device}; move it to the CPU before the pause with `.cpu()`")
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


def reduce_typed(_pickler: Pickler, storage: Any) -> Any:
    return make_typed_storage, (storage._untyped_storage, storage.dtype)  # noqa: SLF001


def make_typed_storage(untyped: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)  # type: ignore[no-untyped-call]


def reduce_generator(_pickler: Pickler, generator: Any) -> Any:
    import torch

    if generator is torch.default_generator:
        from pauseflow_nb.kernel.snapshot.pickling.load_context import live_attribute

        return live_attribute, ("torch", "default_generator")
    return make_generator, (generator.get_state(),)


def make_generator(state: Any) -> Any:
    import torch

    generator = torch.Generator()
    generator.set_state(state)
    return generator


REDUCERS: "dict[str, Reducer]" = {
    "torch.Tensor": reduce_tensor,
    "torch.nn.parameter.Parameter": reduce_tensor,
    "torch.storage.UntypedStorage": reduce_untyped,
    "torch.storage.TypedStorage": reduce_typed,
    "torch._C.Generator": reduce_generator,
}

"""Reduce widgets and their comms, which continue under the same id in a new kernel.

Front ends and the runner's record identify a widget by this id. Pickle drops the observers of an object with traits;
these rules restore them.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import copyreg
import sys
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.load_context import is_trial
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer


def has_traits(kind: type) -> bool:
    """Whether objects of a type are reduced in the way of traitlets."""
    traitlets: Any = sys.modules.get("traitlets")
    if traitlets is None or not issubclass(kind, traitlets.HasTraits):
        return False
    return all(
        getattr(kind, name, None) is getattr(traitlets.HasTraits, name, None)
        for name in ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__")
    )


def reduce_traits(_pickler: Pickler, value: Any) -> Any:
    """Reduce an object with traits, with its observers."""
    handler: Any = sys.modules["traitlets"].EventHandler
    observers = [
        (name, kind, observer)
        for name, kinds in value._trait_notifiers.items()  # noqa: SLF001 - there is no public list of them
        for kind, found in kinds.items()
        for observer in found
        # Observers that the class defines are restored with the class.
        if not isinstance(observer, handler)
    ]
    return copyreg.__newobj__, (type(value),), (value.__getstate__(), observers), None, None, set_traits  # type: ignore[attr-defined]


def set_traits(value: Any, state: tuple[dict[str, Any], list[tuple[Any, Any, Any]]]) -> None:
    """Set the values and the observers of an object."""
    value.__setstate__(state[0])
    for name, kind, observer in state[1]:
        value._add_notifiers(observer, name, kind)  # noqa: SLF001 - `observe` would wrap some of them anew


def reduce_comm(_pickler: Pickler, comm: Any) -> Any:
    callbacks = (comm._msg_callback, comm._close_callback)  # noqa: SLF001 - they have no public name
    facts = (comm.target_name, comm.target_module, comm.comm_id, comm._closed)  # noqa: SLF001 - see above
    return make_comm, facts, callbacks, None, None, set_comm


def make_comm(target_name: str, target_module: "str | None", comm_id: str, is_closed: bool) -> Any:
    """Make a comm that is already open, because the other side does not know of the new kernel."""
    if is_trial():
        # When it is dropped, it would close the live comm.
        return None
    from comm import create_comm, get_comm_manager

    made: Any = create_comm(target_name=target_name, target_module=target_module, comm_id=comm_id, primary=False)
    made._closed = is_closed  # noqa: SLF001 - it has no public name
    if not is_closed:
        get_comm_manager().register_comm(made)
    kernels: Any = sys.modules.get("ipykernel.kernelbase")
    if kernels is not None and kernels.Kernel.initialized():
        # A widget without it considers itself closed.
        made.kernel = kernels.Kernel.instance()
    return made


def set_comm(comm: Any, callbacks: tuple[Any, Any]) -> None:
    """Register the callbacks of a comm, and its widget under its id."""
    if comm is None:
        return
    comm.on_msg(callbacks[0])
    comm.on_close(callbacks[1])
    widget = getattr(callbacks[0], "__self__", None)
    module: Any = sys.modules.get("ipywidgets.widgets.widget")
    if module is not None and isinstance(widget, module.Widget):
        module._instances[comm.comm_id] = widget  # noqa: SLF001 - there is no public way


REDUCERS: "dict[str, Reducer]" = dict.fromkeys(
    ("ipykernel.comm.comm.BaseComm", "ipykernel.comm.comm.Comm", "comm.DummyComm"), reduce_comm
)

"""Contain every name that pickles of snapshots use, so that all other modules may change and move.

A snapshot can be months old: no name is ever removed, and no arguments change. A name may be added if `PROTOCOL` is
incremented. A test has the list of names and signatures.
"""

import pickle
from typing import Any

from pauseflow_nb.errors import SnapshotMismatch
from pauseflow_nb.kernel.issued_links import spent_link, spent_links
from pauseflow_nb.kernel.secret import fetch_secret
from pauseflow_nb.kernel.snapshot.pickling.cloudpickle_private import (
    FORMER_NAMES,
    import_module,
    make_builtin_type,
    make_field_type,
    make_module,
    set_class,
)
from pauseflow_nb.kernel.snapshot.pickling.load_context import (
    definition,
    kernel_method,
    live_attribute,
    live_module_namespace,
    live_namespace,
    live_part,
    live_session,
    live_shell,
    nameless_type,
    type_of,
)
from pauseflow_nb.kernel.snapshot.pickling.set_order import make_set
from pauseflow_nb.kernel.snapshot.pickling.types.builtin import (
    make_cached_property,
    make_closed_file,
    make_context_variable,
    make_dead_reference,
    make_dict_view,
    make_lru_cache,
    make_match,
    make_memoryview,
    make_new_type,
    make_type_variable,
    make_weak_mapping,
    set_context_variable,
    set_with_attributes,
)
from pauseflow_nb.kernel.snapshot.pickling.types.enums import make_member, make_members, set_enum
from pauseflow_nb.kernel.snapshot.pickling.types.exceptions import make_exception, make_traceback, set_exception
from pauseflow_nb.kernel.snapshot.pickling.types.functions import (
    make_cell,
    make_class,
    make_code,
    make_function,
    set_cell,
    set_function_state,
    set_parametrised_state,
)
from pauseflow_nb.kernel.snapshot.pickling.types.log_handlers import make_handler, set_handler
from pauseflow_nb.kernel.snapshot.pickling.types.lru_caches import make_filled_cache, set_cache
from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import (
    make_array,
    make_field,
    make_frozen_array,
    make_masked,
    make_memmap,
    make_memmap_view,
    make_object_view,
    make_scalar,
    make_scalar_view,
    make_subclass,
    make_view,
    set_attributes,
)
from pauseflow_nb.kernel.snapshot.pickling.types.pandas_frames import (
    make_references,
    make_series_manager,
    set_block_references,
    set_frame,
    set_index_references,
)
from pauseflow_nb.kernel.snapshot.pickling.types.polars_frames import make_frame
from pauseflow_nb.kernel.snapshot.pickling.types.torch_tensors import (
    make_empty_storage,
    make_generator,
    make_storage,
    make_typed_storage,
    set_tensor,
)
from pauseflow_nb.kernel.snapshot.pickling.types.user_classes import make_own, set_own
from pauseflow_nb.kernel.snapshot.pickling.types.widget_models import make_comm, set_comm, set_traits

__all__ = [
    "definition",
    "fetch_secret",
    "import_module",
    "kernel_method",
    "live_attribute",
    "live_module_namespace",
    "live_namespace",
    "live_part",
    "live_session",
    "live_shell",
    "make_array",
    "make_builtin_type",
    "make_cached_property",
    "make_cell",
    "make_class",
    "make_closed_file",
    "make_code",
    "make_comm",
    "make_context_variable",
    "make_dead_reference",
    "make_dict_view",
    "make_empty_storage",
    "make_exception",
    "make_field",
    "make_field_type",
    "make_filled_cache",
    "make_frame",
    "make_frozen_array",
    "make_function",
    "make_generator",
    "make_handler",
    "make_lru_cache",
    "make_masked",
    "make_match",
    "make_member",
    "make_members",
    "make_memmap",
    "make_memmap_view",
    "make_memoryview",
    "make_module",
    "make_new_type",
    "make_object_view",
    "make_own",
    "make_references",
    "make_scalar",
    "make_scalar_view",
    "make_series_manager",
    "make_set",
    "make_storage",
    "make_subclass",
    "make_traceback",
    "make_type_variable",
    "make_typed_storage",
    "make_view",
    "make_weak_mapping",
    "nameless_type",
    "set_attributes",
    "set_block_references",
    "set_cache",
    "set_cell",
    "set_class",
    "set_comm",
    "set_context_variable",
    "set_enum",
    "set_exception",
    "set_frame",
    "set_function_state",
    "set_handler",
    "set_index_references",
    "set_own",
    "set_parametrised_state",
    "set_tensor",
    "set_traits",
    "set_with_attributes",
    "spent_link",
    "spent_links",
    "type_of",
]

#: Incremented with each new name, so that older versions report that they are too old. Snapshots without it have 0.
PROTOCOL = 2

_PACKAGE = "pauseflow_nb.kernel.snapshot."
#: Former module of a class of variables → its current module: pickles name the former one.
_MOVED = {
    "pauseflow_nb.kernel.answers": "pauseflow_nb.kernel.resume_data",
    "pauseflow_nb.kernel.record": "pauseflow_nb.kernel.attribute_dict",
    "pauseflow_nb.kernel.schema": "pauseflow_nb.kernel.answer_types",
    "pauseflow_nb.kernel.stops": "pauseflow_nb.kernel.control_flow",
    "pauseflow_nb.kernel.timelimit": "pauseflow_nb.kernel.timeout",
}
_CLOUDPICKLE = "cloudpickle.cloudpickle"

for _name in __all__:
    globals()[_name].__module__ = __name__


class Unpickler(pickle.Unpickler):
    """Load a pickle of ours; names of this package are looked up in this module, wherever they were defined."""

    def find_class(self, module: str, name: str) -> Any:
        """Find the object that a pickle names.

        Raises:
            SnapshotMismatch: If it is a name of this package that this version does not have.
        """
        if module == _CLOUDPICKLE and name in FORMER_NAMES:
            return globals()[FORMER_NAMES[name]]
        if not module.startswith(_PACKAGE):
            return super().find_class(_MOVED.get(module, module), name)
        if name not in __all__:
            difference = f"{name} of {module} there, no such name here"
            raise SnapshotMismatch("of this variable", [difference], "Use the pauseflow_nb that made it")
        return globals()[name]

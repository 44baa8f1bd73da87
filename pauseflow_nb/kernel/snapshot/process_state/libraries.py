"""Save the options and generators of numpy, pandas, matplotlib, polars, scikit-learn, plotly, xarray and torch.

A library is read only if it is loaded.
"""

import importlib
import json
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

from pauseflow_nb.kernel.snapshot.process_state.state_part import Part

#: Defaults of polars.
_POLARS_DEFAULTS = ("mixed", None, "", ".", False)

#: What `numpy.getbufsize()` returns where nothing was set.
_NUMPY_BUFFER = 8192


def _numpy() -> Any:
    return importlib.import_module("numpy")


def _capture_numpy_print(_shell: Any) -> dict[str, Any]:
    return dict(_numpy().get_printoptions())


def _restore_numpy_print(_shell: Any, name: str, value: Any) -> None:
    numpy = _numpy()
    # It does not change options that are not passed, except for these two.
    others = {key: numpy.get_printoptions().get(key) for key in ("formatter", "override_repr")}
    settings = {key: other for key, other in others.items() if other is not None} | {name: value}
    numpy.set_printoptions(
        **{key: each for key, each in settings.items() if each is not None or key != "override_repr"}
    )


def _restore_numpy_error(_shell: Any, name: str, value: Any) -> None:
    _numpy().seterr(**{name: value})


def _restore_numpy_error_call(_shell: Any, _name: str, value: Any) -> None:
    _numpy().seterrcall(value)


def _masked_display() -> Any:
    return importlib.import_module("numpy.ma").masked_print_option


def _restore_masked_display(_shell: Any, _name: str, text: str) -> None:
    _masked_display().set_display(text)


def _polynomial() -> Any:
    return importlib.import_module("numpy.polynomial._polybase").ABCPolyBase


def _restore_printstyle(_shell: Any, _name: str, style: str) -> None:
    importlib.import_module("numpy.polynomial").set_default_printstyle(style)


def _capture_numpy_buffer(_shell: Any) -> dict[str, Any]:
    size = _numpy().getbufsize()
    return {} if size == _NUMPY_BUFFER else {"": size}


def _restore_numpy_buffer(_shell: Any, _name: str, size: int) -> None:
    _numpy().setbufsize(size)


def _capture_pandas_options(_shell: Any) -> dict[str, Any]:
    config: Any = importlib.import_module("pandas._config.config")
    registered = config._registered_options  # noqa: SLF001 - there is no public list of options
    changed = {}
    # Reading a deprecated option warns, although the notebook did not use it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, option in registered.items():
            value = config.get_option(key)
            if value is not option.defval and value != option.defval:
                changed[key] = value
    return changed


def _restore_pandas_option(_shell: Any, name: str, value: Any) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pd.set_option(name, value)


def _capture_rc(_shell: Any) -> dict[str, Any]:
    matplotlib = sys.modules["matplotlib"]
    default = matplotlib.rcParamsDefault
    return {k: v for k, v in matplotlib.rcParams.copy().items() if k != "backend" and default.get(k) != v}


def _restore_rc(_shell: Any, name: str, value: Any) -> None:
    import matplotlib as mpl

    current: Any = mpl.rcParams
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        current[name] = value


def _capture_backend(_shell: Any) -> dict[str, Any]:
    rc: Any = sys.modules["matplotlib"].rcParams
    chosen = rc._get("backend")  # noqa: SLF001 - to ask in public chooses one
    return {"": chosen} if isinstance(chosen, str) else {}


def _restore_backend(shell: Any, _name: str, backend: str) -> None:
    import matplotlib as mpl

    if _capture_backend(shell).get("") != backend:
        mpl.use(backend)


def _capture_figure(_shell: Any) -> dict[str, Any]:
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    manager = helpers and helpers.Gcf.get_active()
    return {"": int(manager.num)} if manager else {}


def _capture_figures(_shell: Any) -> dict[str, Any]:
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    return {str(number): each.canvas.figure for number, each in helpers.Gcf.figs.items()} if helpers else {}


def restore_figure(number: int | None) -> None:
    """Make a figure of pyplot the current one, if it exists."""
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    manager = number and helpers and helpers.Gcf.figs.get(number)
    if manager:
        helpers.Gcf.set_active(manager)


def _capture_polars(_shell: Any) -> dict[str, Any]:
    # The other options are environment variables.
    set_by_call = json.loads(sys.modules["polars"].Config.save())["direct"]
    return {name: value for name, value in set_by_call.items() if value not in _POLARS_DEFAULTS}


def _restore_polars(_shell: Any, name: str, value: Any) -> None:
    getattr(importlib.import_module("polars").Config, name)(value)


def _capture_sklearn(_shell: Any) -> dict[str, Any]:
    default = importlib.import_module("sklearn._config")._global_config  # noqa: SLF001 - what `set_config` leaves alone
    current = sys.modules["sklearn"].get_config()
    return {name: value for name, value in current.items() if default.get(name) != value}


def _restore_sklearn(_shell: Any, name: str, value: Any) -> None:
    importlib.import_module("sklearn").set_config(**{name: value})


def _capture_plotly(_shell: Any) -> dict[str, Any]:
    io = sys.modules["plotly.io"]
    return {"renderers.default": io.renderers.default, "templates.default": io.templates.default}


def _restore_plotly(_shell: Any, name: str, value: Any) -> None:
    group, _, attribute = name.partition(".")
    setattr(getattr(importlib.import_module("plotly.io"), group), attribute, value)


def _capture_special(_shell: Any) -> dict[str, Any]:
    return {kind: action for kind, action in sys.modules["scipy.special"].geterr().items() if action != "ignore"}


def _restore_special(_shell: Any, name: str, action: str) -> None:
    importlib.import_module("scipy.special").seterr(**{name: action})


def _capture_epoch(_shell: Any) -> dict[str, Any]:
    epoch = sys.modules["matplotlib.dates"]._epoch  # noqa: SLF001 - to ask in public chooses one
    return {} if epoch in {None, sys.modules["matplotlib"].rcParams["date.epoch"]} else {"": epoch}


def _restore_epoch(_shell: Any, _name: str, epoch: str) -> None:
    dates = importlib.import_module("matplotlib.dates")
    if dates._epoch != epoch:  # noqa: SLF001 - see above
        dates.set_epoch(epoch)


def _capture_xarray(_shell: Any) -> dict[str, Any]:
    return dict(sys.modules["xarray"].get_options())


def _restore_xarray(_shell: Any, name: str, value: Any) -> None:
    xarray = importlib.import_module("xarray")
    if xarray.get_options().get(name) != value:
        xarray.set_options(**{name: value})


def _capture_torch_dtype(_shell: Any) -> dict[str, Any]:
    kind = str(sys.modules["torch"].get_default_dtype()).removeprefix("torch.")
    return {} if kind == "float32" else {"": kind}


def _restore_torch_dtype(_shell: Any, _name: str, kind: str) -> None:
    torch = importlib.import_module("torch")
    torch.set_default_dtype(getattr(torch, kind))


def _capture_torch(_shell: Any) -> dict[str, Any]:
    return {"": bytes(sys.modules["torch"].get_rng_state().numpy().tobytes())}


def _restore_torch(_shell: Any, _name: str, state: bytes) -> None:
    import torch

    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _restore_numpy_random(_shell: Any, _name: str, state: Any) -> None:
    generators = _numpy().random
    # Earlier versions saved a tuple, which is of the usual generator.
    kind = state["bit_generator"] if isinstance(state, dict) else "MT19937"
    if generators.get_state(legacy=False)["bit_generator"] != kind:
        generators.set_bit_generator(getattr(generators, kind)())
    generators.set_state(state)


def _ignore(_shell: Any, _name: str, _value: Any) -> None:
    """Do nothing: see `restore_figure`; pyplot has a figure again as soon as it is loaded."""


def _make_part(
    library: str, capture: Callable[[Any], Any], restore: Callable[[Any, str, Any], None], label: str
) -> Part:
    return Part(capture, restore, label, library=library)


PARTS: dict[str, Part] = {
    "numpy_errors": _make_part("numpy", lambda _: dict(_numpy().geterr()), _restore_numpy_error, "numpy.seterr({})"),
    "numpy_error_call": _make_part(
        "numpy", lambda _: {"": _numpy().geterrcall()}, _restore_numpy_error_call, "numpy.seterrcall()"
    ),
    "numpy_print": _make_part("numpy", _capture_numpy_print, _restore_numpy_print, "numpy.set_printoptions({})"),
    "numpy_masked": _make_part(
        "numpy.ma",
        lambda _: {"": _masked_display().display()},
        _restore_masked_display,
        "numpy.ma.masked_print_option.set_display()",
    ),
    "numpy_polynomials": _make_part(
        "numpy.polynomial",
        lambda _: {"": "unicode" if _polynomial()._use_unicode else "ascii"},  # noqa: SLF001 - there is no public way
        _restore_printstyle,
        "numpy.polynomial.set_default_printstyle()",
    ),
    "numpy_buffer": _make_part("numpy", _capture_numpy_buffer, _restore_numpy_buffer, "numpy.setbufsize()"),
    "pandas_options": _make_part("pandas", _capture_pandas_options, _restore_pandas_option, "pandas option {}"),
    "matplotlib_backend": _make_part("matplotlib", _capture_backend, _restore_backend, "backend of matplotlib"),
    "matplotlib_rc": _make_part("matplotlib", _capture_rc, _restore_rc, "matplotlib.rcParams[{}]"),
    "matplotlib_figure": Part(_capture_figure, _ignore, "pyplot's current figure", library="matplotlib"),
    "matplotlib_figures": Part(_capture_figures, _ignore, "figure {} of pyplot", is_shared=True, library="matplotlib"),
    "matplotlib_epoch": Part(
        _capture_epoch, _restore_epoch, "matplotlib.dates.set_epoch()", library="matplotlib.dates"
    ),
    "scipy_errors": _make_part("scipy.special", _capture_special, _restore_special, "scipy.special.seterr({})"),
    "polars_config": _make_part("polars", _capture_polars, _restore_polars, "polars.Config.{}"),
    "sklearn_config": _make_part("sklearn", _capture_sklearn, _restore_sklearn, "sklearn.set_config({})"),
    "plotly_io": _make_part("plotly.io", _capture_plotly, _restore_plotly, "plotly.io.{}"),
    "xarray_options": _make_part("xarray", _capture_xarray, _restore_xarray, "xarray.set_options({})"),
    "torch_dtype": _make_part("torch", _capture_torch_dtype, _restore_torch_dtype, "torch.set_default_dtype()"),
}

#: Random generators, which are restored last, because restoring other settings may use them.
RANDOM: dict[str, Part] = {
    "numpy_random": _make_part(
        "numpy", lambda _: {"": _numpy().random.get_state(legacy=False)}, _restore_numpy_random, "numpy.random"
    ),
    "torch_random": _make_part("torch", _capture_torch, _restore_torch, "torch.random"),
    "random": Part(lambda _: {"": random.getstate()}, lambda _shell, _name, state: random.setstate(state), "random"),
}

"""Look up installed kernelspecs, and make the environment of a kernel."""

import os
import shutil
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pauseflow_nb.errors import KernelUnavailable
from pauseflow_nb.operator_secrets import remove_secrets

#: The provisioner of kernelspecs that name none.
LOCAL = "local-provisioner"
#: Used by notebooks that name no kernel.
DEFAULT_KERNEL = "python3"

#: Hash seed of all kernels unless the environment has one, so that a set has the same order after a pause. The second variable
#: lets the kernel remove both, so that programs which cells start get neither.
_HASH_SEED = "7287"


@dataclass(frozen=True)
class Spec:
    """The part of an installed kernelspec that a runner needs."""

    name: str
    argv: tuple[str, ...]
    #: In lower case, as in `"python"`.
    language: str
    env: Mapping[str, str]
    resource_dir: str
    #: `"signal"` or `"message"`.
    interrupt_mode: str
    #: Name of the provisioner of jupyter_client that starts its kernels; with `LOCAL` we start them.
    provisioner: str = LOCAL

    @property
    def is_python(self) -> bool:
        """Whether steps can run in its kernels."""
        return self.language == "python"

    @property
    def is_local(self) -> bool:
        """Whether its kernels are processes of this machine, which we start ourselves."""
        return self.provisioner == LOCAL

    @property
    def interpreter(self) -> str:
        """The absolute path of its program; if the program does not exist, as the kernelspec names it."""
        program = self.argv[0] if self.argv else ""
        return sys.executable if _is_own_python(program) else shutil.which(program) or program

    @property
    def is_ipykernel(self) -> bool:
        """Whether it starts IPython's own kernel, whose options we know."""
        return any(word in {"ipykernel_launcher", "ipykernel"} for word in self.argv)


def find_spec(name: str) -> Spec:
    """Look up a kernelspec by its name.

    Raises:
        KernelUnavailable: If it is not installed or cannot be read; names those that are installed.
    """
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel

    specs = KernelSpecManager()
    if name == "python":
        # As in every KernelManager: old notebooks name their language.
        name = NATIVE_KERNEL_NAME
    try:
        spec = specs.get_kernel_spec(name)
    except NoSuchKernel:
        installed = sorted(specs.find_kernel_specs())
        if name.lower() in installed:
            raise KernelUnavailable(name, "its kernelspec names a provisioner that is not installed here") from None
        choice = f"installed are: {', '.join(installed)}. Choose one of these with --kernel, or install it, in its environment"
        command = f"`python -m ipykernel install --user --name {name}`"
        raise KernelUnavailable(name, f"it is not installed here; {choice}, with {command}") from None
    except (OSError, ValueError) as problem:
        raise KernelUnavailable(name, f"its kernel.json cannot be read: {problem}") from None
    provisioner = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name", LOCAL)
    if not spec.argv and provisioner == LOCAL:
        raise KernelUnavailable(name, "its kernel.json has an empty `argv`")
    return Spec(
        name=name,
        argv=tuple(spec.argv),
        language=spec.language.lower(),
        env=dict(spec.env),
        resource_dir=spec.resource_dir,
        interrupt_mode=spec.interrupt_mode,
        provisioner=provisioner,
    )


def make_environment(spec: Spec, env: Mapping[str, str] | None) -> dict[str, str]:
    """Make the environment of a kernel, without the secrets of the operator; `env` adds variables to it."""
    variables = {**remove_secrets(os.environ), **(env or {})}
    # It would make another interpreter use the library of this one.
    variables.pop("PYTHONEXECUTABLE", None)
    variables |= {name: string.Template(value).safe_substitute(variables) for name, value in spec.env.items()}
    if spec.is_python and not variables.get("PYTHONHASHSEED"):
        variables |= {"PYTHONHASHSEED": _HASH_SEED, "PAUSEFLOW_HASH_SEED": _HASH_SEED}
    return variables


def _is_own_python(program: str) -> bool:
    major, minor = sys.version_info[:2]
    return program in {"python", f"python{major}", f"python{major}.{minor}"}

"""One service: a checkpoint behind HTTP, with limits, until it is told to stop."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from lts.app.commands.open_model import load_checkpoints, open_predictor
from lts.app.config.settings import ServeSettings
from lts.app.config.types import check_settings
from lts.app.run.console import print_line
from lts.base import ConfigError

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_OPEN_TO_ALL = "there is no authentication, whoever reaches it can use it"
_LIMITS = (
    *("queue_size", "max_upload_mib", "max_unpacked_mib", "max_files", "max_voxels"),
    *("keep_results", "keep_minutes", "drain_s"),
    *("stalled_s", "least_kib_s", "headers_s", "max_connections"),
)


def serve(settings: ServeSettings) -> None:
    """Serve the model of `ckpt` until SIGTERM or SIGINT; the scans in hand are answered first.

    Raises:
        LtsError: The config was wrong, the port is in use, or the extra `serve` is not installed.
    """
    check_settings(settings)
    check_installed(_NEEDED)
    from lts.service import (
        Limits,
        Server,
        Service,
        address_of,
        check_root_path,
        is_loopback,
        listen,
        read_keys,
    )

    check_root_path(settings.root_path)
    keys = read_keys(Path(settings.api_key_file).expanduser()) if settings.api_key_file else ()
    limits = Limits(**{name: getattr(settings, name) for name in _LIMITS})
    with listen(settings.host, settings.port) as taken:
        predictor = open_predictor(
            settings, load_checkpoints(settings.ckpt, trusted_modules=settings.trusted_modules)
        )
        with Service([predictor], limits=limits, log=print_line) as service:
            names = ", ".join(checkpoint.path.name for checkpoint in predictor.checkpoints)
            greeting = [f"serving {names} on {predictor.device} at {address_of(taken)}; Ctrl+C stops it"]
            if not is_loopback(taken.getsockname()[0]):
                warning = "keys and scans travel unencrypted" if keys else _OPEN_TO_ALL
                greeting.append(f"host={settings.host}: {warning}")
            server = Server(
                service,
                taken,
                allowed_hosts=settings.allowed_hosts,
                root_path=settings.root_path,
                keys=keys,
            )
            server.run(greeting=greeting)
    with suppress(OSError):  # as of a reader of its words that is gone
        print_line("stopped")


def check_installed(names: Sequence[str]) -> None:
    """Check that the libraries of the extra are there.

    Raises:
        ConfigError: One is not.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(f'serving needs {", ".join(missing)}: pip install ".[serve]"')

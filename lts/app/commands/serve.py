"""One service: a checkpoint behind HTTP, with limits, until it is told to stop."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lts.app.commands.open_model import load_checkpoints, open_predictor
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.settings import PacsSettings, ServeSettings
from lts.app.config.types import check_settings
from lts.app.run.console import print_line
from lts.base import ConfigError

if TYPE_CHECKING:
    from lts.service import Service
    from lts.service.pacs import PacsOptions
    from lts.service.pacs.exchange import Exchange

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_NEEDED_FOR_PACS = ("pynetdicom", "pydicom", "highdicom")
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
    pacs = _pacs_options(settings.pacs)
    with listen(settings.host, settings.port) as taken:
        predictor = open_predictor(
            settings, load_checkpoints(settings.ckpt, trusted_modules=settings.trusted_modules)
        )
        with (
            Service([predictor], limits=limits, log=print_line) as service,
            _exchange(service, pacs) as exchange,
        ):
            names = ", ".join(checkpoint.path.name for checkpoint in predictor.checkpoints)
            greeting = [f"serving {names} on {predictor.device} at {address_of(taken)}; Ctrl+C stops it"]
            if not is_loopback(taken.getsockname()[0]):
                warning = "keys and scans travel unencrypted" if keys else _OPEN_TO_ALL
                greeting.append(f"host={settings.host}: {warning}")
            if exchange is not None:
                greeting.append(exchange.describe())
                if exchange.port is not None and not is_loopback(settings.pacs.host):
                    greeting.append(f"pacs.host={settings.pacs.host}: whoever reaches it can send")
                if exchange.gives_openly:
                    greeting.append(f"pacs.send_to={settings.pacs.send_to}: credentials travel unencrypted")
            server = Server(
                service,
                taken,
                allowed_hosts=settings.allowed_hosts,
                root_path=settings.root_path,
                keys=keys,
                exchange=exchange,
            )
            server.run(greeting=greeting)
    with suppress(OSError):  # as of a reader of its words that is gone
        print_line("stopped")


def check_installed(names: Sequence[str], *, extra: str = "serve") -> None:
    """Check that the libraries of an extra are there.

    Raises:
        ConfigError: One is not.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(f'serving needs {", ".join(missing)}: pip install ".[{extra}]"')


def _pacs_options(settings: PacsSettings) -> "PacsOptions | None":
    """How to talk to a PACS; None for not at all.

    Raises:
        ConfigError: A setting breaks its rule, the port or the file of answered series is in use, or the
            extra `pacs` is not installed.
        StorageError: The file of answered series cannot be locked.
    """
    from lts.service import listen
    from lts.service.pacs import PacsOptions, read_authorization
    from lts.service.pacs.answered import sole_user_of

    with keys_in_errors("pacs", PacsOptions):
        paths = {name: getattr(settings, name) for name in ("credentials_file", "answered_file")}
        files = {name: Path(path).expanduser() if path else None for name, path in paths.items()}
        options = PacsOptions(**{**vars(settings), **files})
        if options.send_to is None:
            return None
        check_installed(_NEEDED_FOR_PACS, extra="pacs")
        if options.port is not None:
            listen(options.host, options.port).close()  # told before the model is opened
        if options.credentials_file is not None:
            read_authorization(options.credentials_file)
        if options.answered_file is not None:
            with sole_user_of(options.answered_file):
                pass
    return options


@contextmanager
def _exchange(service: "Service", options: "PacsOptions | None") -> "Iterator[Exchange | None]":
    """The exchange with a PACS, which listens from now on; None for none.

    Raises:
        ConfigError: The port is in use.
    """
    if options is None:
        yield None
        return
    from lts.service.pacs import PacsOptions
    from lts.service.pacs.exchange import Exchange

    with keys_in_errors("pacs", PacsOptions):
        exchange = Exchange(service, options)
    with exchange:
        yield exchange

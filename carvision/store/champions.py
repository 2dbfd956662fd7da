"""Champions, the versions in use: aliases of the registry, one for each data set and a general one.

The alias ``champion-<fingerprint>`` names the champion of one data set. The alias ``champion``,
which ``models:/NAME@champion`` loads, names the champion of one of these, and stays with its data.
Where the two differ for the same data, ``champion`` counts: to go back to another version, it is
enough to set that by hand.
"""

import logging
from pathlib import Path
from typing import Final

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from carvision.contracts import EnsembleSpec, read_spec
from carvision.errors import TrackingError
from carvision.files import plain_name, scratch_folder
from carvision.store.client import client
from carvision.store.member_versions import TUNE_AGAIN, MemberVersion, damage_of, member_of
from carvision.store.model_files import SPEC_FILE, fetch_spec
from carvision.store.server import is_missing, unreachable
from carvision.store.tags import DATA

ENSEMBLE: Final = "carvision-ensemble"
CHAMPION: Final = "champion"

log = logging.getLogger(__name__)


def champion_ensemble() -> tuple[int, EnsembleSpec] | None:
    """The version and specification of the ensemble that ``champion`` names; None without one.

    Raises:
        TrackingError: it was registered by others, or its file is damaged.
    """
    return _ensemble_named(CHAMPION)


def data_champion(data: str) -> tuple[int, EnsembleSpec] | None:
    """The version and specification of the champion of ``data``, by its alias; None without one.

    Raises:
        TrackingError: it was registered by others, or its file is damaged.
    """
    return _ensemble_named(champion_alias(data))


def other_champions() -> list[tuple[int, EnsembleSpec]]:
    """The champions of all data sets, the newest first; those that cannot be read are left out."""
    try:
        aliases = dict(client().get_registered_model(ENSEMBLE).aliases)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return []
    found: dict[int, EnsembleSpec] = {}
    for alias in sorted(aliases):
        if alias.startswith(f"{CHAMPION}-"):
            try:
                named = _ensemble_named(alias)
            except TrackingError as error:
                log.warning("%s", error)
            else:
                found |= dict([named] if named else [])
    return sorted(found.items(), reverse=True)


def registered_at(version: int) -> int | None:
    """When a version of the ensemble was registered, in milliseconds since 1970.

    None if the registry has no such version.
    """
    try:
        return int(client().get_model_version(ENSEMBLE, str(version)).creation_timestamp)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def crown_ensemble(version: int) -> str:
    """Make a version of the ensemble the champion of its data.

    ``champion`` is set, too, unless it names a version of other data. Then the message that is
    returned says how to set it; otherwise that is empty.
    """
    entry = client().get_model_version(ENSEMBLE, str(version))
    data = entry.tags.get(DATA, "")
    holder = version_named(ENSEMBLE, CHAMPION)
    if data:
        client().set_registered_model_alias(ENSEMBLE, champion_alias(data), entry.version)
    if holder is None or not data or _ensemble_data(holder) in ("", data):
        client().set_registered_model_alias(ENSEMBLE, CHAMPION, entry.version)
        return ""
    return _left_to(holder, entry)


def crown_member(member: MemberVersion) -> None:
    """Make a version the champion of its data, if it ranks better than the present champion.

    ``champion`` is set, too, unless it names a version of other data.
    """
    general = version_named(member.name, CHAMPION)
    known = _member_or_none(general)
    held = known
    if known is None or known.data != member.data:
        held = _member_or_none(version_named(member.name, champion_alias(member.data)))
    if held is not None and not member.rank < held.rank:
        return
    alias, number = champion_alias(member.data), member.entry.version
    client().set_registered_model_alias(member.name, alias, number)
    if held is not None:
        versions = (member.name, number, held.entry.version)
        log.info("%s: version %s is the champion, no longer %s", *versions)
    if general is None or known is None or known.data == member.data:
        client().set_registered_model_alias(member.name, CHAMPION, number)
    else:
        log.info("%s", _left_to(general, member.entry))


def champion_alias(data: str) -> str:
    """The alias of the champion of one data set."""
    return f"{CHAMPION}-{plain_name(data)}"


def how_to_set(name: str, alias: str, version: str) -> str:
    """The command that sets an alias by hand."""
    return (
        'python -c "import mlflow; mlflow.MlflowClient().set_registered_model_alias('
        f"'{name}', '{alias}', {version})\""
    )


def version_named(name: str, alias: str) -> ModelVersion | None:
    """The version that an alias names; None where there is no such alias."""
    try:
        return client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE":
            return None
        raise


def _left_to(holder: ModelVersion, new: ModelVersion) -> str:
    name = str(new.name)
    return (
        f"{name} version {new.version} is the champion of its data; the alias {CHAMPION} stays "
        f"with version {holder.version}, which is of other data. To move it: "
        f"{how_to_set(name, CHAMPION, str(new.version))}"
    )


def _member_or_none(entry: ModelVersion | None) -> MemberVersion | None:
    """A champion as a member; None, and a warning, for one that others registered."""
    if entry is None:
        return None
    try:
        return member_of(entry)
    except TrackingError as error:
        log.warning("%s. It was the champion, and cannot be compared with others", error)
        return None


def _ensemble_data(entry: ModelVersion) -> str:
    """The data of an ensemble, by its tag or its score; empty if neither can be read."""
    if tag := entry.tags.get(DATA, ""):
        return str(tag)
    try:
        spec = _read_ensemble(entry)
    except TrackingError:
        return ""
    return spec.score.data if spec.score else ""


def _ensemble_named(alias: str) -> tuple[int, EnsembleSpec] | None:
    entry = version_named(ENSEMBLE, alias)
    if entry is None:
        return None
    try:
        return int(entry.version), _read_ensemble(entry)
    except TrackingError as error:
        raise TrackingError(
            f"{ENSEMBLE} version {entry.version}, which has the alias {alias}, cannot be used: "
            f"{error}\nTo use another version: {how_to_set(ENSEMBLE, alias, 'VERSION')}\n"
            f"Or {TUNE_AGAIN}"
        ) from error


def _read_ensemble(entry: ModelVersion) -> EnsembleSpec:
    with scratch_folder() as folder:
        path = _fetch_spec(int(entry.version), folder)
        wrong = damage_of(entry, path.parent)
        if wrong is not None:
            raise TrackingError(f"{wrong}; bring the file back from a copy")
        return read_spec(path)


def _fetch_spec(version: int, into: Path) -> Path:
    try:
        return fetch_spec(ENSEMBLE, version, into)
    except (MlflowException, OSError) as error:
        # A server that is away is no fault of the version.
        if unreachable() is not None:
            raise
        raise TrackingError(f"{SPEC_FILE} cannot be had: {error}") from error

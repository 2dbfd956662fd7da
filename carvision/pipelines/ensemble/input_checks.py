"""What ``ensemble`` predicts, and what lies beside it: test photos, template and answers."""

from dataclasses import dataclass
from pathlib import Path

from carvision.config import path_text
from carvision.config.words import shortened
from carvision.contracts import ClassMap, EnsembleSpec
from carvision.data.folder.layout import Layout
from carvision.data.submission import Template, answers_for
from carvision.data.submission_listing import SubmissionPhotos
from carvision.errors import DataError
from carvision.pipelines.ensemble.unreadable_photos import UnreadablePhotos
from carvision.pipelines.prepare.prepared_data import check_data, find_layout
from carvision.pipelines.prepare.source import opened
from carvision.store.prepared import prepared_runs


@dataclass(frozen=True)
class SubmissionInput:
    """What is predicted, in what form it is submitted, and the answers where they are known."""

    photos: SubmissionPhotos
    template: Template
    answers: list[str] | None
    unreadable: UnreadablePhotos

    @classmethod
    def checked(
        cls,
        photos: SubmissionPhotos,
        beside: Layout,
        classes: ClassMap,
        unreadable: UnreadablePhotos | None = None,
    ) -> "SubmissionInput":
        """Check the ``photos`` and what lies ``beside`` them, before any work.

        Photos are decoded; if ``unreadable`` is of an earlier check, only those that failed then.

        Raises:
            DataError: template or answers are of other classes or photos, or too many photos
                cannot be read.
        """
        template = template_for(beside, photos, classes)
        answers = answers_for(beside.answers, template, classes) if beside.answers else None
        if unreadable is None or unreadable.photos != photos:
            unreadable = UnreadablePhotos.among(photos)
        else:
            unreadable.check_again()
        return cls(photos, template, answers, unreadable)


def check_test(data: str, test: str) -> None:
    """Refuse photos that are not there, before a run is opened for them.

    Raises:
        DataError: there is no such file or folder.
    """
    if not test:
        check_data(data)
        return
    try:
        what = "" if Path(path_text(test)).exists() else "does not exist"
    except OSError as error:  # too long, or in a folder that may not be entered
        what = f"cannot be read ({error.strerror})"
    if what:
        raise DataError(f"test={shortened(test)} {what}; give a folder of photos, a CSV or a zip")


def find_test(data: str, test: str) -> tuple[SubmissionPhotos, Layout]:
    """Find the test photos, and the folder where a template and answers may lie beside them.

    Raises:
        DataError: there are no test photos, or a listed one is missing.
    """
    if not test:
        layout = find_layout(data)
        return SubmissionPhotos.of(layout), layout
    given = Path(path_text(test))
    source = opened(given)
    if source != given:
        # An unpacked archive: of the competition's layout, or of photos alone.
        layout = Layout.at(source)
        if layout.test:
            return SubmissionPhotos.of(layout), layout
        return SubmissionPhotos.of(None, str(source)), layout
    photos = SubmissionPhotos.of(None, str(given), _data_root(data))
    return photos, Layout.at(given.absolute().parent)


def _data_root(data: str) -> Path | None:
    """The data's folder, if it is on this machine: a CSV of ``test=`` may list its photos."""
    if data == "latest":
        return next((run.root for run in prepared_runs()), None)
    folder = Path(path_text(data))
    return folder if folder.is_dir() else None


def template_for(layout: Layout, photos: SubmissionPhotos, classes: ClassMap) -> Template:
    """Read the template beside the test photos, or make one of the classes' own columns.

    Raises:
        DataError: it is of other classes, or of other photos.
    """
    if layout.template:
        template = Template.read(layout.template)
    else:
        template = Template.of_classes(photos.ids, classes)
    template.check(classes, photos.ids)
    return template


def refuse_other_classes(layout: Layout, spec: EnsembleSpec) -> None:
    """Refuse a champion of other classes than the photos' folder was prepared with.

    Without a template, this is the only sign that the champion is of another competition.

    Raises:
        DataError: the classes differ.
    """
    prepared = next((run for run in prepared_runs() if run.root == layout.root), None)
    manifest = None if prepared is None else prepared.manifest_or_none()
    if manifest is not None and manifest.classes != spec.classes:
        raise DataError(
            f"the ensemble in use is of other classes than {layout.root} was prepared with; "
            "tune on this data first: mlflow run . -e tune"
        )

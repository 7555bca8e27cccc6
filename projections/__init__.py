"""The read side. One file = one read model = one question the product asks."""

from typing import TYPE_CHECKING

from projections import (
    articles,
    audit_trail,
    changes,
    contact_profiles,
    duplicates,
    exports,
    interactions,
    members,
    milestones,
    pipelines,
    search,
    service_queues,
)

if TYPE_CHECKING:
    from crm_es.projector.contract import ReadModel

READ_MODELS: "tuple[ReadModel, ...]" = (
    interactions,  # first, since it reads before it writes: behind others, it would wait for all they write
    service_queues,  # so does it
    pipelines,  # and it
    milestones,  # and it
    contact_profiles,
    members,
    audit_trail,
    search,
    duplicates,
    changes,
    articles,
    exports,
)

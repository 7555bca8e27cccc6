"""The read side. One file = one read model = one question the product asks."""

from crm_es.projector.contract import ReadModel

READ_MODELS: tuple[ReadModel, ...] = ()

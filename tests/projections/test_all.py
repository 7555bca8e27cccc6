from uuid import uuid4

import psycopg
import pytest

from crm_es.contacts.contact_events import ContactRegistered, LifecycleStage
from crm_es.projector import catalogue
from projections import READ_MODELS


def test_every_read_model_stands_as_declared(database, log, workspace, project):
    log.append(workspace, (uuid4(), ContactRegistered(lifecycle_stage=LifecycleStage.LEAD, display_name="Anna")))

    project()

    with psycopg.connect(database.projector) as connection:
        assert catalogue.check(connection.cursor(), READ_MODELS) == []


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda m: m.NAME)
def test_personal_columns_have_a_subject(model):
    for table in model.TABLES:
        assert table.subject or not any(c.personal for c in table.columns), table.name
        assert not {c.name for c in table.columns if c.personal}.intersection(table.key), table.name

"""What a product accepts and refuses."""

from uuid import UUID

from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import Reservation
from crm_es.sales.product import PRODUCT, ProductEdit, ProductRegistered, ProductUpdated, register, update
from crm_es.values import ExternalId, Money, joint_key
from tests.deciding import given

ID = UUID(int=20)
MUG = ProductRegistered(name="Mug", price=Money(500, "JPY"), external_ids=(ExternalId(system="erp", value="7"),))


def test_registering_says_all_in_one_event():
    form = ProductEdit(name="Mug", sku="M-1", family=None, price=Money(1250, "KWD"))

    given(PRODUCT).when(lambda _: register(form)).then(
        ProductRegistered(name="Mug", sku="M-1", price=Money(1250, "KWD"))
    )


def test_a_product_needs_a_name_and_a_price_that_is_not_negative():
    given(PRODUCT).when(lambda _: register(ProductEdit())).then_refused(
        InvalidInputError, "product.nameless", ("name",)
    )
    given(PRODUCT, MUG).when(update, ProductEdit(price=Money(-1, "JPY"))).then_refused(
        InvalidInputError, "money.negative", ("price", "amount")
    )


def test_only_what_changed_is_said():
    given(PRODUCT, MUG).when(update, ProductEdit(name="Mug", price=None)).then(ProductUpdated(price=None))
    given(PRODUCT, MUG).when(update, ProductEdit(name="Mug")).then()


def test_a_product_is_retired_and_taken_back():
    gone = given(PRODUCT, MUG).when(update, ProductEdit(retired=True)).then(ProductUpdated(retired=True))

    assert gone.retired
    given(PRODUCT, MUG, ProductUpdated(retired=True)).when(update, ProductEdit(retired=False)).then(
        ProductUpdated(retired=False)
    )


def test_external_ids_are_reserved_once_a_workspace():
    state = given(PRODUCT, MUG).state

    key = joint_key("product", "erp", "7")
    assert PRODUCT.reservations(ID, state) == {Reservation(kind="external_id", value=key, holder=ID)}

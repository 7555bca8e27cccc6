import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from crm_es.privacy.sealing import mac


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_the_mac_is_the_hmac_of_the_standard(secret, message):
    assert mac(secret, message) == hmac.digest(secret, message, hashlib.sha256)

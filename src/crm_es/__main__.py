"""`python -m crm_es` is `crm-es`."""

from crm_es.cli import main

main()

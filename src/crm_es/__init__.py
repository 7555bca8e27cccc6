"""crm_es: the CRM backend that never forgets and never lies."""

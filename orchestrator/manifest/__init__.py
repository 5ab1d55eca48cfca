"""From the text of one or several YAML files to a checked, resolved manifest."""

import datetime as dt  # noqa: F401 - pydantic imports it in compiled code, which does not survive a Ctrl-C in the middle of it

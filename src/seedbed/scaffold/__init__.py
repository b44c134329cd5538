"""The project start: a new project from the template that Seedbed brings along, and an older one brought up to date."""

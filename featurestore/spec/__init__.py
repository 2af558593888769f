"""The vocabulary of definitions: inert objects that know nothing of how they are run."""

"""The benchmark's models; a copy goes into the measured project, as definitions are carried with it."""

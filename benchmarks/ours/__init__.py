"""What is measured of this project, in a process of its own."""

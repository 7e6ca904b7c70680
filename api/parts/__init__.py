"""The parts that a process is put together from, each built from its settings and stores."""

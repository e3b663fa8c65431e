"""The environments in the interfaces of other libraries, a module for each."""

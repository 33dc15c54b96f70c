"""One file or folder for each backend; its name is the registration. See runtime.backend for the contract."""

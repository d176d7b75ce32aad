//! Reading JSON fields with errors that name the field and the value.

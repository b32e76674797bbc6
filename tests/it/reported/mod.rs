//! What people who do this job have reported, each as the first of its kind.

mod database;

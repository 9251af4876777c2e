//! The room `methods`: a file and a fixture each.

mod afr;
mod cvar;
mod dfr;
mod dpe;
mod eiil;
mod group_dro;
mod lff;
mod xrm;

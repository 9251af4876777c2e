//! The room `contrast`.

mod loss;

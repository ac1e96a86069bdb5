//! The centre: COSE messages over MQTT 5, delivery until acknowledged.

//! The addresses of a cluster. Each cluster has them in a network namespace of its own.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Name of the node.
pub const NODE: &str = "node1";
/// The node, and with it PostgreSQL and RabbitMQ, as pods reach them.
pub const NODE_IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Where PostgreSQL listens for pods.
pub const POSTGRESQL: SocketAddrV4 = SocketAddrV4::new(NODE_IP, 5432);
/// Where RabbitMQ listens for pods.
pub const RABBITMQ: SocketAddrV4 = SocketAddrV4::new(NODE_IP, 5672);
/// Port of the Kubernetes API on the node.
pub const API_PORT: u16 = 6443;
/// Addresses of the pods.
pub const PODS: &str = "10.244.0.0/16";
/// Addresses of the services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The first address of the services, which is that of the Kubernetes API.
pub const API_SERVICE_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The name server of the cluster, as `dns.yaml` says.
pub const DNS_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
